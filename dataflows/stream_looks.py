"""Looking at the live streams: where each one ends, then where the log ends."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import NamedTuple

from dataflows.polling import Found
from sinks.availability import Availability
from storage.reading import LogUnavailableError
from storage.relay_reads import Place, RelayReads, ShardState
from storage.streams import StreamName, Streams, StreamsUnavailableError, StreamTop

# A crash is repaired within two looks.
_IDLE = timedelta(milliseconds=25)
# Something is missing: time for a write-through that is under way, and no more.
_HURRY = timedelta(milliseconds=15)
# After a second without news: 40 looks a second took a tenth of a core for nothing, and the
# first event of a quiet log comes by write-through all the same.
_QUIET = timedelta(milliseconds=80)
_QUIET_AFTER_SECONDS = 1.0
# Tops that were seen are believed for this long: a server that was emptied and
# partly filled again by another relay is found out then.
_BELIEVE_SECONDS = 1.0
_TRIM_EVERY_SECONDS = 1.0
_SWEEP_EVERY_SECONDS = 60.0
# Nobody but us trims; where somebody did, fans are served from the log until the stream is whole again.
_STARTS_EVERY_SECONDS = 5.0


class ShardView(NamedTuple):
    """One shard: first its stream was looked at, then its log.

    `is_stuck`: something was missing at the last look too, and nothing has
    come since. So write-through was refused, or nobody writes.
    """

    stream: StreamName
    top: StreamTop | None
    log: ShardState
    is_stuck: bool

    @property
    def is_behind(self) -> bool:
        """Whether the log has rows that the stream lacks."""
        end = self.log.base.position if self.top is None else self.top.position
        return end < self.log.head.position


class Look(NamedTuple):
    """All shards at one time.

    Once in a while also what exists in Redis, and where each of the shards'
    streams begins.
    """

    shards: list[ShardView]
    is_trim_due: bool
    streams: list[StreamName] | None
    starts: Mapping[StreamName, int | None]


class _Seen(NamedTuple):
    stream: StreamName
    top: StreamTop | None
    was_behind: bool


class StreamLooker:
    """Looks at every shard's stream and log: two round trips, whatever the number of shards."""

    def __init__(
        self,
        streams: Streams,
        log: RelayReads,
        redis: Availability,
        postgres: Availability,
        clock: Callable[[], float],
    ) -> None:
        """`clock` counts seconds and never goes back."""
        self._streams = streams
        self._log = log
        self._redis = redis
        self._postgres = postgres
        self._clock = clock
        self._generations: dict[int, int] | None = None
        self._known: dict[str, StreamTop] = {}
        self._seen: dict[int, _Seen] = {}
        self._believed_until = 0.0
        self._trimmed_at = 0.0
        self._swept_at: float | None = None
        self._starts_read_at = 0.0
        self._heads: list[Place] = []
        self._news_at = 0.0

    def look(self) -> Found[Look]:
        """Look once; an outage is noted and comes back as a pause."""
        try:
            look = self._look()
        except StreamsUnavailableError as error:
            self._known.clear()  # the server that comes back may have lost what this one had
            return Found((), self._redis.lost(error.detail))
        except LogUnavailableError as error:
            return Found((), self._postgres.lost(error.detail))
        self._redis.regained()
        self._postgres.regained()
        return Found((look,), self._pause(look))

    def _pause(self, look: Look) -> timedelta:
        now = self._clock()
        heads = [view.log.head for view in look.shards]
        if heads != self._heads:
            self._heads = heads
            self._news_at = now
        if any(view.is_behind for view in look.shards):
            return _HURRY
        return _QUIET if now > self._news_at + _QUIET_AFTER_SECONDS else _IDLE

    def _look(self) -> Look:
        now = self._clock()
        if self._generations is None:
            self._generations = self._log.generations()
        names = [StreamName(*each) for each in self._generations.items()]
        # Before the tops: a start that a trim moved on in between would seem too late.
        starts = self._read_starts(names, now)
        # The streams first: a top that is above a head read later is above
        # every head there ever was, and no append in between explains it.
        tops = self._read_tops(names, now)
        states = self._log.states({name.shard: top.position for name, top in tops.items() if top})
        # A life that began in between is looked at next time.
        self._generations = {state.shard: state.generation for state in states}
        views = [
            self._view(stream, tops[stream], state)
            for state in states
            if (stream := StreamName(state.shard, state.generation)) in tops
        ]
        return Look(views, self._is_trim_due(now), self._sweep(now), starts)

    def _read_starts(self, names: list[StreamName], now: float) -> dict[StreamName, int | None]:
        if now < self._starts_read_at + _STARTS_EVERY_SECONDS:
            return {}
        self._starts_read_at = now
        return dict(zip(names, self._streams.starts([name.key for name in names]), strict=True))

    def _read_tops(self, names: list[StreamName], now: float) -> dict[StreamName, StreamTop | None]:
        if now >= self._believed_until:
            self._known.clear()
            self._believed_until = now + _BELIEVE_SECONDS
        tops = self._streams.tops([name.key for name in names], self._known)
        self._known = {name.key: top for name, top in zip(names, tops, strict=True) if top}
        return dict(zip(names, tops, strict=True))

    def _view(self, stream: StreamName, top: StreamTop | None, state: ShardState) -> ShardView:
        before = self._seen.get(state.shard)
        nothing_came = before is None or (before.stream == stream and before.top == top)
        view = ShardView(stream, top, state, nothing_came and (before is None or before.was_behind))
        self._seen[state.shard] = _Seen(stream, top, view.is_behind)
        return view

    def _is_trim_due(self, now: float) -> bool:
        if now < self._trimmed_at + _TRIM_EVERY_SECONDS:
            return False
        self._trimmed_at = now
        return True

    def _sweep(self, now: float) -> list[StreamName] | None:
        if self._swept_at is not None and now < self._swept_at + _SWEEP_EVERY_SECONDS:
            return None
        self._swept_at = now
        return self._streams.names()
