"""Where what a fan lacks comes from: the ring, the live stream, the log, in this order."""

import msgspec

from gateway.channel import Channel
from gateway.places import arrivals
from storage.log_reads import LogQueries, Page
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
    """Reads images and missing events for channels."""

    def __init__(self, log: LogQueries, matches: MatchQueries, streams: StreamReader) -> None:
        self._log = log
        self._matches = matches
        self._streams = streams

    async def view(self, channel: Channel) -> MatchView:
        """The image at the head, exactly at its seq; raise LogUnavailableError.

        Read after the channel opened, so the ring has whatever is newer. Its
        generation is the log's: the channel may have to follow yet.
        """
        if (near := _led_on(channel, _FOLD_AT_MOST)) is not None:
            return near
        async with channel.reading:
            if (near := _led_on(channel, _FOLD_AT_MOST)) is not None:
                return near
            try:
                read = await self._matches.view(Asked(channel.match, channel.shard, channel.view))
            except LogUnavailableError:
                if (far := _led_on(channel, None)) is not None:
                    return far
                raise
        if read.generation == channel.generation:
            channel.view = read
        return read

    async def events_after(self, channel: Channel, seq: int, limit: int) -> Page:
        """At most `limit` events after `seq`; raise LogUnavailableError.

        Of the channel's generation when they come from ring or stream, else
        of the log's.
        """
        if channel.seq is not None and seq <= channel.seq and (ring := channel.after(seq)) is not None:
            numbers = list(range(seq + 1, seq + 1 + len(ring)))
            return Page(channel.generation, channel.seq, numbers[:limit], ring[:limit])
        found = await self._search_stream(channel, seq, limit)
        return found or await self._log.events_after(channel.match, channel.shard, seq, limit)

    async def _search_stream(self, channel: Channel, seq: int, limit: int) -> Page | None:
        """Look back through the shard's stream for the event after `seq`; None when it is not near."""
        newest_first: list[tuple[int, bytes]] = []
        looked_at = 0
        before: int | None = None
        generation = channel.generation
        try:
            while looked_at < _SEARCH_EVENTS:
                packs = await self._streams.before(channel.shard, generation, before, _SEARCH_PACKS)
                for pack in packs:
                    if before is not None and pack.last + 1 != before:
                        return None
                    newest_first += _of_match(channel.match, pack)
                    looked_at += len(pack.payloads)
                    before = pack.first
                if newest_first and newest_first[-1][0] <= seq + 1:
                    return _page(generation, newest_first, seq, limit)
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
    for payload in tail:
        view = advanced(view, payload)
    channel.view = view
    return view


def _of_match(match: str, pack: Pack) -> list[tuple[int, bytes]]:
    """The match's events in a pack, newest first."""
    return [(event.seq, event.payload) for event in reversed(arrivals(pack)) if event.match == match]


def _page(generation: int, newest_first: list[tuple[int, bytes]], seq: int, limit: int) -> Page | None:
    """The events after `seq`; None unless they are all there, and `seq` lies in the match's log."""
    found = [pair for pair in reversed(newest_first) if pair[0] > seq]
    head = newest_first[0][0]
    if seq > head or head - seq != len(found):
        return None
    return Page(generation, head, [n for n, _ in found[:limit]], [payload for _, payload in found[:limit]])
