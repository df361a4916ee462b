"""What one match's fans share: its recent events, who listens, and from which event on."""

import asyncio
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from gateway.cursor import Cursor, Drop, Hole, judge
from storage.match_reads import MatchView


class Member:
    """One fan's place in one channel.

    `seq` is the last event the fan has: the floor it joined at, then what was
    sent. It stands outside the broadcast until it `is_live`; one that
    `needs_image` gets nothing else before that. `owed_to` is where the match's
    log ended when it joined: up to there it is owed every event, also by a
    channel that has taken none yet.
    """

    __slots__ = ("client", "generation", "is_live", "needs_image", "owed_to", "seq")

    def __init__(self, client: str, generation: int, seq: int, owed_to: int = 0) -> None:
        self.client = client
        self.needs_image = False
        self.start(generation, seq)
        self.owed_to = owed_to

    def start(self, generation: int, seq: int) -> None:
        """Begin at a floor, outside the broadcast."""
        self.generation = generation
        self.seq = seq
        self.owed_to = seq
        self.is_live = False


class Batch(NamedTuple):
    """Events to broadcast: those after `prev`."""

    generation: int
    prev: int
    payloads: list[bytes]

    @property
    def last(self) -> int:
        return self.prev + len(self.payloads)


class Channel:
    """The recent events of a match and its members.

    `seq` is the last event taken, None while none was since the channel
    opened: whatever is older is in an image read after that moment.
    """

    def __init__(self, match: str, shard: int, generation: int, keeps: int) -> None:
        self.match = match
        self.shard = shard
        self.generation = generation
        self.seq: int | None = None
        self.members: dict[str, Member] = {}
        self.joining = 0  # fans whose join is under way: they count on the ring
        self.view: MatchView | None = None  # an image from which the ring leads on
        self.reading = asyncio.Lock()  # one reads the image, those who wait find it
        self._ring: deque[bytes] = deque(maxlen=keeps)
        self._waiting: list[bytes] = []  # taken, not yet broadcast; ends at `seq`

    @property
    def is_idle(self) -> bool:
        return not self.members and not self.joining

    def take(self, seq: int, payload: bytes) -> bool:
        """Take the next event; False when events before it are missing, and nothing was taken."""
        if self.seq is None:
            self.seq = seq - 1
        verdict = judge(Cursor(self.generation, self.seq), self.generation, seq, seq)
        if isinstance(verdict, Hole):
            return False
        if not isinstance(verdict, Drop):
            self.seq = seq
            self._ring.append(payload)
            self._waiting.append(payload)
        return True

    def after(self, seq: int) -> list[bytes] | None:
        """The events after `seq` that the ring has; None when it does not reach back that far."""
        if self.seq is None or seq < self.seq - len(self._ring):
            return None
        return list(islice(self._ring, max(0, len(self._ring) - (self.seq - seq)), None))

    def batches(self, size: int) -> Iterator[Batch]:
        """Hand out what waits for the broadcast, in messages of at most `size` events."""
        waiting, self._waiting = self._waiting, []
        generation, prev = self.generation, (self.seq or 0) - len(waiting)
        for start in range(0, len(waiting), size):
            yield Batch(generation, prev + start, waiting[start : start + size])

    def restart(self, generation: int) -> None:
        """Forget all events: the log skipped or began another life; every member needs an image."""
        self.generation = generation
        self.seq = None
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
