"""How far each shard has been read, and what new events do: they go to the channels that are open. No I/O."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from gateway.channel import Channel, Channels
from gateway.cursor import Cursor, Hole, Take, continues, judge
from gateway.places import Arrival, arrivals
from storage.log_reads import LogRow, ShardHead
from storage.stream_reads import Pack
from telemetry.log import Log

# The design's bound: a stream that has not brought a committed event for so
# long is behind, and the log is read instead.
_MAY_LAG_SECONDS = 2.0

LOG_BEGAN = "the log of this match has begun"
NEW_GENERATION = "the log was restored or rewritten: another generation"
LOG_SKIPPED = "older events are no longer in the log"
EVENTS_MISSING = "events of this match were missing"

_GENERATION_CHANGED = "generation.changed"
_LOG_SKIPPED = "log.skipped"
_PACK_DAMAGED = "pack.damaged"
_FELL_BEHIND = "stream.fell_behind"
_say = Log("gateway")


class Follower:
    """One shard, as far as it was read."""

    __slots__ = ("cursor", "hole_until", "is_behind", "owed", "owed_since", "shard")

    def __init__(self, head: ShardHead) -> None:
        self.shard = head.shard
        self.start(head)

    def start(self, head: ShardHead) -> None:
        self.cursor = Cursor(head.generation, head.position)
        self.hole_until = 0  # the stream is of no use below this position
        self.is_behind = False  # the log is read too, until the stream brings something new
        self.owed = 0  # a committed position that was not here yet, `owed_since` then
        self.owed_since = 0.0

    @property
    def place(self) -> ShardHead:
        return ShardHead(self.shard, self.cursor.generation, self.cursor.last)


class Followers:
    """Applies what streams, log and heads say, in whatever order they say it."""

    def __init__(self, channels: Channels, on_restart: Callable[[Channel, str], None]) -> None:
        """`on_restart` gets a channel whose members need a new image, and why."""
        self._channels = channels
        self._on_restart = on_restart
        self._of_shard: dict[int, Follower] = {}

    def generation_of(self, shard: int) -> int:
        """The life of the log that is followed; 0 while the shard has none."""
        follower = self._of_shard.get(shard)
        return 0 if follower is None else follower.cursor.generation

    @property
    def for_streams(self) -> dict[int, ShardHead]:
        """Where to read on in the streams, left out those with a hole ahead."""
        return {f.shard: f.place for f in self._of_shard.values() if f.hole_until <= f.cursor.last}

    @property
    def for_log(self) -> dict[int, ShardHead]:
        """Where to read on in the log."""
        return {f.shard: f.place for f in self._of_shard.values() if f.is_behind}

    def lose_streams(self) -> None:
        """The streams are out of reach: read all from the log."""
        for follower in self._of_shard.values():
            follower.is_behind = True

    def see_heads(self, heads: Iterable[ShardHead], now: float) -> None:
        """Note how far the log has come: follow new generations, and notice a stream that stays behind."""
        for head in heads:
            follower = self._of_shard.get(head.shard)
            if follower is None:
                self._of_shard[head.shard] = Follower(head)
                self._restart(head, LOG_BEGAN)
            elif head.generation > follower.cursor.generation:
                _say.warning(_GENERATION_CHANGED, **head._asdict(), before=follower.cursor.generation)
                follower.start(head)
                self._restart(head, NEW_GENERATION)
            else:
                self._note_debt(follower, head, now)

    def _note_debt(self, follower: Follower, head: ShardHead, now: float) -> None:
        read = follower.cursor.last
        if follower.owed <= read:
            follower.owed, follower.owed_since = head.position, now
        elif now - follower.owed_since >= _MAY_LAG_SECONDS and not follower.is_behind:
            follower.is_behind = True
            _say.warning(_FELL_BEHIND, shard=head.shard, read=read, head=head.position)

    def take_pack(self, pack: Pack) -> None:
        """Apply an entry of a stream."""
        follower = self._of_shard.get(pack.shard)
        if follower is None:
            return
        verdict = judge(follower.cursor, pack.generation, pack.first, pack.last)
        if isinstance(verdict, Hole):
            follower.hole_until, follower.is_behind = verdict.last, True
        elif isinstance(verdict, Take):
            try:
                events = arrivals(pack)
            except msgspec.MsgspecError as error:
                _say.error(_PACK_DAMAGED, shard=pack.shard, last=pack.last, detail=str(error))
                follower.hole_until, follower.is_behind = pack.last, True
                return
            self._arrive(events[verdict.skip :])
            follower.cursor = Cursor(pack.generation, pack.last)
            follower.is_behind = False

    def take_rows(self, asked: ShardHead, rows: Sequence[LogRow]) -> int:
        """Apply rows of the log that were asked for from a place on; return how many were new.

        A gap in the log itself is where history was dropped: nobody can be
        given what lay there, so the fans get images.
        """
        follower = self._of_shard[asked.shard]
        if follower.cursor.generation != asked.generation:
            return 0
        new = [row for row in rows if row.position > follower.cursor.last]
        if not new:
            return 0
        if continues(follower.cursor, [row.position for row in new]):
            self._arrive(Arrival(row.match, row.seq, row.payload) for row in new)
            follower.cursor = Cursor(asked.generation, new[-1].position)
        else:
            _say.error(_LOG_SKIPPED, **follower.place._asdict(), next=new[0].position)
            head = ShardHead(asked.shard, asked.generation, new[-1].position)
            follower.start(head)
            self._restart(head, LOG_SKIPPED)
        return len(new)

    def _arrive(self, events: Iterable[Arrival]) -> None:
        for match, seq, payload in events:
            channel = self._channels.get(match)
            if channel is None:
                continue
            if channel.take(seq, payload):
                self._channels.touch(channel)
            else:
                channel.restart(channel.generation)
                self._on_restart(channel, EVENTS_MISSING)

    def _restart(self, head: ShardHead, reason: str) -> None:
        for channel in self._channels.of_shard(head.shard):
            channel.restart(head.generation)
            self._on_restart(channel, reason)
