"""What one match's fans share: its recent events, who listens, and from which event on."""

import asyncio
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from schemas.identity import ZERO_CHAIN
from storage.match_reads import MatchView


class Taken(NamedTuple):
    """An event that a channel took, and the chain of the shard's log after it."""

    payload: bytes
    chain: bytes


class Member:
    """One fan's place in one channel.

    `seq` is the last event the fan has and `chain` the log's chain there, None
    when the fan did not say and nobody knows: the floor it joined at, then
    what was sent. It stands outside the broadcast until it `is_live`; one that
    `needs_image` gets nothing else before that. `owed_to` is where the match's
    log ended when it joined: up to there it is owed every event, also by a
    channel that has taken none yet.
    """

    __slots__ = ("chain", "client", "generation", "is_live", "needs_image", "owed_to", "restarts", "seq")

    def __init__(
        self,
        client: str,
        channel: "Channel",
        generation: int,
        seq: int,
        chain: bytes | None,
        owed_to: int = 0,
    ) -> None:
        self.client = client
        self.needs_image = False
        self.start(channel, generation, seq, chain)
        self.owed_to = owed_to

    def start(self, channel: "Channel", generation: int, seq: int, chain: bytes | None) -> None:
        """Begin at a floor, outside the broadcast."""
        self.restarts = channel.restarts
        self.generation = generation
        self.seq = seq
        self.chain = chain
        self.owed_to = seq
        self.is_live = False


class Batch(NamedTuple):
    """Events to broadcast: those after `prev`, where the chain was `prev_chain` (None: not known)."""

    generation: int
    restarts: int
    prev: int
    prev_chain: bytes | None
    events: list[Taken]

    @property
    def last(self) -> int:
        return self.prev + len(self.events)

    def continues(self, member: Member) -> bool:
        """Whether it holds all that follows the last event of a member, and in the same history."""
        if member.seq < self.prev:
            return False
        chain = self.prev_chain if member.seq == self.prev else self.events[member.seq - self.prev - 1].chain
        return agree(chain, member.chain)


def agree(one: bytes | None, other: bytes | None) -> bool:
    """Whether two chains at one seq may be of the same history; an unknown one says nothing."""
    return one is None or other is None or one == other


class Channel:
    """The recent events of a match and its members.

    `seq` is the last event taken, None while none was since the channel
    opened: whatever is older is in an image read after that moment. `restarts`
    counts how often all was forgotten: what was read or taken before the last
    time must not be mixed with what comes now.
    """

    def __init__(self, match: str, shard: int, generation: int, keeps: int) -> None:
        self.match = match
        self.shard = shard
        self.generation = generation
        self.restarts = 0
        self.seq: int | None = None
        self.chain: bytes | None = None  # at `seq`; None: not known
        self.members: dict[str, Member] = {}
        self.joining = 0  # fans whose join is under way: they count on the ring
        self.view: MatchView | None = None  # an image from which the ring leads on
        self.reading = asyncio.Lock()  # one reads the image, those who wait find it
        self._ring: deque[Taken] = deque(maxlen=keeps)
        self._before_ring: bytes | None = None  # the chain before its first event
        self._waiting: list[Taken] = []  # taken, not yet broadcast; ends at `seq`
        self._before_waiting: bytes | None = None

    @property
    def is_idle(self) -> bool:
        return not self.members and not self.joining

    def take(self, seq: int, payload: bytes, chain: bytes) -> bool:
        """Take the next event; False when events before it are missing, and nothing was taken."""
        if self.seq is None:
            self._begin(seq - 1)
        assert self.seq is not None
        if seq > self.seq + 1:
            return False
        if seq == self.seq + 1:
            event = Taken(payload, chain)
            if len(self._ring) == self._ring.maxlen:
                self._before_ring = self._ring[0].chain if self._ring else chain
            if not self._waiting:
                self._before_waiting = self.chain
            self._ring.append(event)
            self._waiting.append(event)
            self.seq, self.chain = seq, chain
        return True

    def _begin(self, seq: int) -> None:
        self.seq = seq
        if seq == 0:
            self.chain = ZERO_CHAIN
        elif self.view is not None and self.view.seq == seq:
            self.chain = self.view.chain
        self._before_ring = self.chain

    def after(self, seq: int) -> list[Taken] | None:
        """The events after `seq` that the ring has; None when it does not reach back that far."""
        if self.seq is None or seq < self.seq - len(self._ring):
            return None
        return list(islice(self._ring, max(0, len(self._ring) - (self.seq - seq)), None))

    def chain_at(self, seq: int) -> bytes | None:
        """The chain at a seq; None when the channel does not know it."""
        if seq == 0:
            return ZERO_CHAIN
        if self.seq is None or seq > self.seq or seq < self.seq - len(self._ring):
            return None
        index = len(self._ring) - (self.seq - seq) - 1
        return self._before_ring if index < 0 else self._ring[index].chain

    def batches(self, size: int) -> Iterator[Batch]:
        """Hand out what waits for the broadcast, in messages of at most `size` events."""
        waiting, self._waiting = self._waiting, []
        generation, restarts = self.generation, self.restarts
        prev, chain = (self.seq or 0) - len(waiting), self._before_waiting
        for start in range(0, len(waiting), size):
            events = waiting[start : start + size]
            yield Batch(generation, restarts, prev + start, chain, events)
            chain = events[-1].chain

    def restart(self, generation: int) -> None:
        """Forget all events: the log skipped, or is another one now; every member needs an image."""
        self.generation = generation
        self.restarts += 1
        self.seq = self.chain = None
        self.view = None
        self._ring.clear()
        self._waiting.clear()
        for member in self.members.values():
            member.is_live = False
            member.needs_image = True

    def has(self, member: Member) -> bool:
        """Whether it is still this member's place, not left and not joined anew."""
        return self.members.get(member.client) is member


class Channels:
    """The open channels. A match has one only while somebody listens or is about to."""

    def __init__(self, keeps: int) -> None:
        self._keeps = keeps
        self._open: dict[str, Channel] = {}
        self._touched: dict[str, Channel] = {}

    def __iter__(self) -> Iterator[Channel]:
        return iter(list(self._open.values()))

    def get(self, match: str) -> Channel | None:
        return self._open.get(match)

    def open(self, match: str, shard: int, generation: int) -> Channel:
        """The channel of a match, opened if need be."""
        channel = self._open.get(match)
        if channel is None:
            channel = self._open[match] = Channel(match, shard, generation, self._keeps)
        return channel

    def close_if_idle(self, channel: Channel) -> None:
        if channel.is_idle and self._open.get(channel.match) is channel:
            del self._open[channel.match]

    def of_shard(self, shard: int) -> list[Channel]:
        return [channel for channel in self._open.values() if channel.shard == shard]

    def touch(self, channel: Channel) -> None:
        """Note that a channel has something to broadcast."""
        self._touched[channel.match] = channel

    def touched(self) -> list[Channel]:
        """The channels noted since the last call."""
        touched, self._touched = self._touched, {}
        return list(touched.values())
