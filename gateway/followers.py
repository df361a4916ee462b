"""How far each shard has been read, and what new events do: they go to the channels that are open. No I/O."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from gateway.channel import Channel, Channels
from gateway.places import Arrival, arrivals
from schemas.log_position import Gap, LogPosition, OtherHistory, Span, Take, chained, judge
from storage.log_reads import LogRow, ShardSnapshot
from storage.stream_reads import Pack
from telemetry.log import Log

# The design's bound: a stream that has not brought a committed event for so
# long is behind, and the log is read instead.
_MAY_LAG_SECONDS = 2.0

LOG_BEGAN = "the log of this match has begun"
NEW_GENERATION = "the log was restored or rewritten: another generation"
OTHER_HISTORY = "the log lost events that you may have seen: its history is another one now"
LOG_SKIPPED = "older events are no longer in the log"
EVENTS_MISSING = "events of this match were missing"

_GENERATION_CHANGED = "generation.changed"
_HISTORY_CHANGED = "history.changed"
_LOG_SKIPPED = "log.skipped"
_PACK_DAMAGED = "pack.damaged"
_PACK_DIFFERED = "pack.differed"
_FELL_BEHIND = "stream.fell_behind"
_say = Log("gateway")


class Cursor(NamedTuple):
    """Where a shard has been read to, as one question to the log names it.

    `restarts` counts how often reading began anew: an answer to a question
    from before the last time is about a place where nobody stands any more.
    """

    place: LogPosition
    restarts: int


class Follower:
    """One shard, as far as it was read."""

    __slots__ = ("gap_until", "is_behind", "owed", "owed_since", "place", "restarts", "shard", "shown")

    def __init__(self, shard: int, head: LogPosition) -> None:
        self.shard = shard
        self.restarts = 0
        self.start(head)

    def start(self, head: LogPosition) -> None:
        self.place = head
        self.shown = head  # the furthest place from which fans were given something
        self.restarts += 1
        self.gap_until = 0  # the stream is of no use below this position
        self.is_behind = False  # the log is read too, until the stream brings something new
        self.owed = 0  # a committed position that was not here yet, `owed_since` then
        self.owed_since = 0.0

    def move(self, place: LogPosition) -> None:
        """Go on to a place that continues what was read."""
        self.place = place
        if place.position > self.shown.position:
            self.shown = place

    def differs(self, span: Span) -> bool:
        """Whether fans were given something, further on in the log, that this span has otherwise."""
        at = self.shown.position
        return span.first - 1 <= at <= span.last and span.chain_at(at) != self.shown.chain


class Followers:
    """Applies what streams, log and heads say, in whatever order they say it.

    A stream may hold a history that the log has lost, so only the log says
    that what was shown is history no more; then the fans get images.
    """

    def __init__(self, channels: Channels, on_restart: Callable[[Channel, str], None]) -> None:
        """`on_restart` gets a channel whose members need a new image, and why."""
        self._channels = channels
        self._on_restart = on_restart
        self._of_shard: dict[int, Follower] = {}

    def generation_of(self, shard: int) -> int:
        """The generation that is followed; 0 while the shard has none."""
        follower = self._of_shard.get(shard)
        return 0 if follower is None else follower.place.generation

    def place_of(self, shard: int) -> LogPosition | None:
        """How far a shard has been read; None while it has no log."""
        follower = self._of_shard.get(shard)
        return None if follower is None else follower.place

    def show(self, shard: int, place: LogPosition) -> None:
        """Note that fans were given something from a place of the log that may be ahead of what was read."""
        follower = self._of_shard.get(shard)
        if (
            follower is not None
            and place.generation == follower.place.generation
            and place.position > follower.shown.position
        ):
            follower.shown = place

    @property
    def cursors(self) -> dict[int, Cursor]:
        """Up to where every shard has been read or shown: what its log has to hold still."""
        return {f.shard: Cursor(f.shown, f.restarts) for f in self._of_shard.values()}

    @property
    def for_streams(self) -> dict[int, LogPosition]:
        """Where to read on in the streams, left out those with a gap ahead."""
        return {f.shard: f.place for f in self._of_shard.values() if f.gap_until <= f.place.position}

    @property
    def for_log(self) -> dict[int, Cursor]:
        """Where to read on in the log."""
        return {f.shard: Cursor(f.place, f.restarts) for f in self._of_shard.values() if f.is_behind}

    def lose_streams(self) -> None:
        """The streams are out of reach: read all from the log."""
        for follower in self._of_shard.values():
            follower.is_behind = True

    def see_heads(self, asked: Mapping[int, Cursor], heads: Iterable[ShardSnapshot], now: float) -> None:
        """Note how far the log has come, and whether it still holds what was read when it was `asked`.

        A head below the place that is reached meanwhile is no news: a stream
        may have brought more since the question.
        """
        for snapshot in heads:
            shard = snapshot.shard
            follower = self._of_shard.get(shard)
            if follower is None:
                self._of_shard[shard] = Follower(shard, snapshot.head)
                self._restart(shard, snapshot.head.generation, LOG_BEGAN)
            elif self._still_holds(follower, asked.get(shard), snapshot):
                self._note_debt(follower, snapshot.head.position, now)

    def _still_holds(self, follower: Follower, asked: Cursor | None, snapshot: ShardSnapshot) -> bool:
        """Whether the log holds the place that was asked about; if not, begin anew where the log ends."""
        if asked is None or asked.restarts != follower.restarts:
            return False
        if snapshot.holds_place:
            return True
        head, before = snapshot.head, asked.place
        if head.generation != before.generation:
            reason, event = NEW_GENERATION, _GENERATION_CHANGED
        elif snapshot.lost(before):
            reason, event = OTHER_HISTORY, _HISTORY_CHANGED
        else:
            reason, event = LOG_SKIPPED, _LOG_SKIPPED
        self._begin_anew(follower, head, reason, event)
        return False

    def _begin_anew(self, follower: Follower, head: LogPosition, reason: str, event: str) -> None:
        before = follower.place
        _say.warning(
            event,
            shard=follower.shard,
            generation=head.generation,
            position=head.position,
            before_generation=before.generation,
            before_position=before.position,
        )
        follower.start(head)
        self._restart(follower.shard, head.generation, reason)

    def _note_debt(self, follower: Follower, head: int, now: float) -> None:
        read = follower.place.position
        if follower.owed <= read:
            follower.owed, follower.owed_since = head, now
        elif now - follower.owed_since >= _MAY_LAG_SECONDS and not follower.is_behind:
            follower.is_behind = True
            _say.warning(_FELL_BEHIND, shard=follower.shard, read=read, head=head)

    def take_pack(self, pack: Pack) -> None:
        """Apply an entry of a stream; one that does not continue what was read is left to the log."""
        follower = self._of_shard.get(pack.shard)
        if follower is None or pack.generation != follower.place.generation:
            return
        if not pack.chains:  # of a release before: nothing says what it continues
            follower.gap_until, follower.is_behind = pack.last, True
            return
        if not pack.is_whole:
            self._leave_to_log(follower, pack, _PACK_DAMAGED, "not as many events or chains as positions")
            return
        verdict = judge(follower.place, pack.span)
        if isinstance(verdict, Gap):
            follower.gap_until, follower.is_behind = verdict.last, True
        elif isinstance(verdict, OtherHistory) or follower.differs(pack.span):
            self._leave_to_log(follower, pack, _PACK_DIFFERED, "another history than what was read")
        elif isinstance(verdict, Take):
            try:
                events = arrivals(pack)
            except msgspec.MsgspecError as error:
                self._leave_to_log(follower, pack, _PACK_DAMAGED, str(error))
                return
            self._arrive(events[verdict.skip :])
            follower.move(LogPosition(pack.generation, pack.last, pack.span.chain_at(pack.last)))
            follower.is_behind = False

    def _leave_to_log(self, follower: Follower, pack: Pack, event: str, detail: str) -> None:
        _say.warning(event, shard=pack.shard, last=pack.last, detail=detail)
        follower.gap_until, follower.is_behind = pack.last, True

    def take_rows(self, asked: Cursor, snapshot: ShardSnapshot, rows: Sequence[LogRow]) -> int:
        """Apply rows of the log that were asked for from a place on; return how many were new.

        A gap in the log itself is where history was dropped: nobody can be
        given what lay there, so the fans get images.
        """
        follower = self._of_shard[snapshot.shard]
        if not self._still_holds(follower, asked, snapshot) or not rows:
            return 0
        place = follower.place
        span = Span(
            asked.place.generation,
            asked.place.position + 1,
            chained(asked.place.chain, [row.chain for row in rows]),
        )
        if rows[0].position != span.first or rows[-1].position != span.last:
            self._begin_anew(follower, snapshot.head, LOG_SKIPPED, _LOG_SKIPPED)
            return 0
        verdict = judge(place, span)
        if isinstance(verdict, OtherHistory) or follower.differs(span):
            self._begin_anew(follower, snapshot.head, OTHER_HISTORY, _HISTORY_CHANGED)
            return 0
        if not isinstance(verdict, Take):
            return 0
        new = rows[verdict.skip :]
        self._arrive(Arrival(row.match, row.seq, row.payload, row.chain) for row in new)
        follower.move(LogPosition(place.generation, new[-1].position, new[-1].chain))
        return len(new)

    def _arrive(self, events: Iterable[Arrival]) -> None:
        for match, seq, payload, chain in events:
            channel = self._channels.get(match)
            if channel is None:
                continue
            if channel.take(seq, payload, chain):
                self._channels.touch(channel)
            else:
                channel.restart(channel.generation)
                self._on_restart(channel, EVENTS_MISSING)

    def _restart(self, shard: int, generation: int, reason: str) -> None:
        for channel in self._channels.of_shard(shard):
            channel.restart(generation)
            self._on_restart(channel, reason)
