"""Images of matches, kept between requests so that each event is folded once."""

from collections import OrderedDict

from schemas.partitioning import partition_of
from storage.match_reads import Asked, Listed, MatchQueries, MatchView

# 64 KB each at most, some 5 KB as a rule.
_KEPT = 1_000
# More matches than a day has; older ones are found by their id.
_LISTED = 500


class Catalogue:
    """Reads what is newer than what it has; forgets what was not asked for longest."""

    def __init__(self, queries: MatchQueries, shards: int) -> None:
        self._queries = queries
        self._shards = shards
        self._views: OrderedDict[str, MatchView] = OrderedDict()

    async def view(self, match: str) -> MatchView:
        """The image of a match at its head; raise LogUnavailableError."""
        view = await self._queries.view(self._asked(match))
        self._keep(view)
        return view

    async def listed(self) -> list[tuple[Listed, MatchView]]:
        """Every listed match with its image; raise LogUnavailableError."""
        listed = await self._queries.listed(_LISTED)
        views = {line.match: self._views[line.match] for line in listed if self._is_fresh(line)}
        stale = [line.match for line in listed if line.match not in views]
        if stale:
            views |= await self._queries.views([self._asked(match) for match in stale])
        for view in views.values():
            self._keep(view)
        return [(line, views[line.match]) for line in listed]

    def _is_fresh(self, line: Listed) -> bool:
        kept = self._views.get(line.match)
        ends = line.generation, line.seq, line.chain
        return kept is not None and (kept.generation, kept.seq, kept.chain) == ends

    def _asked(self, match: str) -> Asked:
        return Asked(match, partition_of(match, self._shards), self._views.get(match))

    def _keep(self, view: MatchView) -> None:
        if view.image is None:
            return
        self._views[view.match] = view
        self._views.move_to_end(view.match)
        while len(self._views) > _KEPT:
            self._views.popitem(last=False)
