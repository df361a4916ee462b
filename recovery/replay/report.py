"""What a replay found: counts, the matches that would change, the first differences of each kind."""

import msgspec

from recovery.replay.candidate import Code
from recovery.replay.refold import KINDS, Refold
from schemas.fold import FOLD_VERSION
from storage.side_schema import SideDifference

_LONGEST = 300


class Folds(msgspec.Struct, frozen=True):
    """The folds compared: the one asked for, the installed one, and those that wrote the rows."""

    code: str
    code_version: int | None  # None: its module says no FOLD_VERSION
    installed_version: int
    log_versions: dict[int, int]  # version -> rows


class MatchChange(msgspec.Struct, frozen=True):
    """One match that would change: how many differences of each kind."""

    match: str
    shard: int
    rows: int
    counts: dict[str, int]


class DifferenceLine(msgspec.Struct, frozen=True):
    """One difference."""

    kind: str
    means: str
    match: str
    shard: int
    position: int
    seq: int
    was: str
    would_be: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The diff between the log and what another fold would make of it."""

    verdict: str  # same, or changes
    ranges: list[str]
    folds: Folds
    rows: int
    saved_images: int
    matches: int
    counts: dict[str, int]
    changes: list[MatchChange]  # the most changed first
    differences: list[DifferenceLine]
    side_schema: str
    is_kept: bool
    seconds: float


class Noted:
    """Keeps the first differences of each kind as they come."""

    def __init__(self, kept_per_kind: int) -> None:
        self._kept_per_kind = kept_per_kind
        self._kept: dict[str, list[DifferenceLine]] = {kind: [] for kind in KINDS}
        self.counts: dict[str, int] = {}

    def add(self, differences: list[SideDifference]) -> None:
        for found in differences:
            self.counts[found.kind] = self.counts.get(found.kind, 0) + 1
            kept = self._kept[found.kind]
            if len(kept) < self._kept_per_kind:
                kept.append(
                    DifferenceLine(
                        found.kind,
                        KINDS[found.kind],
                        found.match,
                        found.shard,
                        found.position,
                        found.seq,
                        _cut(found.was),
                        _cut(found.would_be),
                    )
                )

    def first(self) -> list[DifferenceLine]:
        """Those kept, kind by kind in the order of KINDS."""
        return [line for kept in self._kept.values() for line in kept]


def write_report(
    refold: Refold,
    noted: Noted,
    code: Code,
    ranges: list[str],
    side_schema: str,
    is_kept: bool,
    seconds: float,
) -> Report:
    """Put together what a finished replay found."""
    states = refold.matches.values()
    changed = [MatchChange(s.match, s.shard, s.rows, s.counts) for s in states if s.counts]
    changed.sort(key=lambda change: (-sum(change.counts.values()), change.match))
    return Report(
        verdict="changes" if noted.counts else "same",
        ranges=ranges,
        folds=Folds(code.name, code.version, FOLD_VERSION, refold.versions),
        rows=sum(state.rows for state in states),
        saved_images=sum(state.saved_images for state in states),
        matches=len(refold.matches),
        counts={kind: noted.counts[kind] for kind in KINDS if kind in noted.counts},
        changes=changed,
        differences=noted.first(),
        side_schema=side_schema,
        is_kept=is_kept,
        seconds=seconds,
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"
