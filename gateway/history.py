"""Where what a fan lacks comes from: the ring, the live stream, the log, in this order."""

from collections.abc import Callable, Sequence

import msgspec

from gateway.channel import Channel, Taken
from gateway.places import Arrival, arrivals
from schemas.identity import ZERO_CHAIN
from schemas.log_position import LogPosition
from storage.log_reads import LogQueries, OtherHistoryError, Page
from storage.match_reads import Asked, MatchQueries, MatchView, advanced
from storage.reading import LogUnavailableError
from storage.stream_reads import Pack, StreamReader
from storage.streams import StreamsUnavailableError

# Folding an event takes 10 us, reading a saved image and its tail 3 ms: beyond
# this many events the log is quicker, and the loop is not held up.
_FOLD_AT_MOST = 300
# Looking for a match in its shard's stream costs 1 us an event of the shard.
_SEARCH_EVENTS = 4_000
_SEARCH_PACKS = 32


class History:
    """Reads images and missing events for channels.

    Nothing is read from another history than the one that the shard's
    follower has read: streams and log are asked for the place where it stands.
    """

    def __init__(
        self,
        log: LogQueries,
        matches: MatchQueries,
        streams: StreamReader,
        place_of: Callable[[int], LogPosition | None],
        on_shown: Callable[[int, LogPosition], None],
    ) -> None:
        """`place_of` says how far a shard has been read; `on_shown` is told from how far on something was."""
        self._log = log
        self._matches = matches
        self._streams = streams
        self._place_of = place_of
        self._on_shown = on_shown

    async def view(self, channel: Channel) -> MatchView:
        """The image at the head, exactly at its seq; raise LogUnavailableError or OtherHistoryError.

        Read after the channel opened, so the ring has whatever is newer. Its
        generation is the log's: the channel may have to follow yet.
        """
        if (near := _led_on(channel, _FOLD_AT_MOST)) is not None:
            return near
        async with channel.reading:
            if (near := _led_on(channel, _FOLD_AT_MOST)) is not None:
                return near
            restarts = channel.restarts
            asked = Asked(channel.match, channel.shard, channel.view, self._place_of(channel.shard))
            try:
                read = await self._matches.view(asked)
            except LogUnavailableError:
                if (far := _led_on(channel, None)) is not None:
                    return far
                raise
        if channel.restarts != restarts:
            raise OtherHistoryError(channel.match)
        if read.generation == channel.generation:
            channel.view = read
            if read.chain is not None:
                self._on_shown(channel.shard, LogPosition(read.generation, read.position, read.chain))
        return read

    async def events_after(self, channel: Channel, seq: int, limit: int, proven: bool) -> Page:
        """At most `limit` events after `seq`; raise LogUnavailableError or OtherHistoryError.

        Of the channel's generation when they come from ring or stream, else
        of the log's. `proven`: the page must know the chain at `seq`, if the
        log does.
        """
        if channel.seq is not None and seq <= channel.seq and (ring := channel.after(seq)) is not None:
            chain = channel.chain_at(seq)
            if chain is not None or not proven:
                numbers = list(range(seq + 1, seq + 1 + len(ring)))
                return _cut(channel.generation, channel.seq, chain, numbers, ring, limit)
        restarts = channel.restarts
        place = self._place_of(channel.shard)
        found = await self._search_stream(channel, place, seq if proven else seq + 1, seq, limit)
        if found is None:
            found = await self._log.events_after(channel.match, channel.shard, seq, limit, place)
        if channel.restarts != restarts:
            raise OtherHistoryError(channel.match)
        if found.end is not None:
            self._on_shown(channel.shard, found.end)
        return found

    async def _search_stream(
        self, channel: Channel, place: LogPosition | None, oldest: int, seq: int, limit: int
    ) -> Page | None:
        """Look back through the shard's stream for the event `oldest`.

        None when it is not near, or when the stream does not hold the place.
        """
        newest_first: list[Arrival] = []
        looked_at = 0
        before: int | None = None
        holds_place = False
        generation = channel.generation
        if place is None or place.generation != generation:
            return None
        end = place
        try:
            while looked_at < _SEARCH_EVENTS:
                packs = await self._streams.before(channel.shard, generation, before, _SEARCH_PACKS)
                for pack in packs:
                    if before is None:
                        end = LogPosition(generation, pack.last, pack.span.chain_at(pack.last))
                    elif pack.last + 1 != before:
                        return None
                    newest_first += _of_match(channel.match, pack)
                    if pack.first - 1 <= place.position <= pack.last:
                        if pack.span.chain_at(place.position) != place.chain:
                            return None
                        holds_place = True
                    looked_at += len(pack.payloads)
                    before = pack.first
                if holds_place and newest_first and newest_first[-1].seq <= max(oldest, 1):
                    page = _page(generation, newest_first, seq, limit)
                    return page and page._replace(end=end)
                if not packs:
                    return None
        except (StreamsUnavailableError, msgspec.MsgspecError):
            return None
        return None


def _led_on(channel: Channel, at_most: int | None) -> MatchView | None:
    """The kept image, led on through the ring; None when the ring does not reach back to it."""
    view = channel.view
    if view is None:
        return None
    tail = [] if channel.seq is None else channel.after(view.seq)
    if tail is None or (at_most is not None and len(tail) > at_most):
        return None
    # The image may be of what a failover took: the ring leads on only from the same chain.
    chain = channel.chain_at(view.seq)
    if view.seq and (chain != view.chain if chain is not None else tail):
        return None
    for event in tail:
        view = advanced(view, event.payload, event.chain)
    channel.view = view
    return view


def _of_match(match: str, pack: Pack) -> list[Arrival]:
    """The match's events in a pack, newest first."""
    return [event for event in reversed(arrivals(pack)) if event.match == match]


def _page(generation: int, newest_first: list[Arrival], seq: int, limit: int) -> Page | None:
    """The events after `seq`; None unless they are all there, and `seq` lies in the match's log."""
    found = [event for event in reversed(newest_first) if event.seq > seq]
    head = newest_first[0].seq
    if seq > head or head - seq != len(found):
        return None
    at = [event.chain for event in newest_first if event.seq == seq]
    chain = at[0] if at else None if seq else ZERO_CHAIN
    return _cut(generation, head, chain, [event.seq for event in found], found, limit)


def _cut(
    generation: int,
    head: int,
    chain: bytes | None,
    numbers: list[int],
    events: Sequence[Arrival | Taken],
    limit: int,
) -> Page:
    """A page of the first `limit` of these events."""
    chosen = events[:limit]
    return Page(
        generation,
        head,
        chain,
        numbers[:limit],
        [event.payload for event in chosen],
        [event.chain for event in chosen],
    )
