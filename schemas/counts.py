"""How many records of each type that is not remembered a match had. Pure.

Sums, so order does not matter: +1 for an add, -1 for a cancel. A cancel that
finds nothing to take off (it overtook its add, or names no side) is owed
until an add pays it, so that a count is never negative.
"""

from schemas.image import REMEMBERED, Incident
from schemas.raw import Side

COUNTED_TYPES = 64
OTHER = "other"

Row = tuple[int, int, int]  # home, away, neither
Counts = dict[str, Row]
NOTHING: Row = (0, 0, 0)


def column_of(side: Side | None) -> int:
    """The place of a side in a row."""
    return 0 if side == "home" else 1 if side == "away" else 2


def counted(counts: Counts, owed: Counts, kind: str, column: int, step: int) -> tuple[Counts, Counts]:
    """Counts and what is owed after `step` more of a type."""
    if kind not in counts and kind != OTHER and len(counts) - (OTHER in counts) >= COUNTED_TYPES:
        counts, owed, kind = _with_room(counts, owed, kind)
    row = list(_sum(counts, owed, kind))
    row[column] += step
    return _with(counts, owed, kind, (row[0], row[1], row[2]))


def recounted(
    counts: Counts, owed: Counts, kind: str, before: Incident | None, after: Incident
) -> tuple[Counts, Counts]:
    """Counts and what is owed after a record of type `kind` changed a remembered id.

    Each type that was named has a row, whatever became of it: so rows have no order either.
    """
    if kind not in REMEMBERED and kind not in counts:
        counts, owed = counted(counts, owed, kind, 0, 0)
    was, now = _share(before), _share(after)
    if was == now:
        return counts, owed
    for share, sign in ((was, -1), (now, 1)):
        if share is not None:
            kind, column, step = share
            counts, owed = counted(counts, owed, kind, column, sign * step)
    return counts, owed


def _share(incident: Incident | None) -> tuple[str, int, int] | None:
    """What a remembered id adds to the counts: type, column, and +1 or -1.

    Of an id whose add is remembered that is 1 while it stands. The add of any
    other was counted when it came, so there only a cancel changes something.
    """
    if incident is None or incident.type in REMEMBERED:
        return None
    step = incident.added - (incident.action == "cancel")
    return (incident.type, column_of(incident.side), step) if step else None


def _with_room(counts: Counts, owed: Counts, kind: str) -> tuple[Counts, Counts, str]:
    """Let the last type by name go into `other`: a choice that the order of arrival cannot change."""
    last = max(name for name in counts if name != OTHER)
    if kind > last:
        return counts, owed, OTHER
    moved, other = _sum(counts, owed, last), _sum(counts, owed, OTHER)
    counts = {name: row for name, row in counts.items() if name != last}
    owed = {name: row for name, row in owed.items() if name != last}
    together = (other[0] + moved[0], other[1] + moved[1], other[2] + moved[2])
    return (*_with(counts, owed, OTHER, together), kind)


def _sum(counts: Counts, owed: Counts, kind: str) -> Row:
    have, less = counts.get(kind, NOTHING), owed.get(kind, NOTHING)
    return have[0] - less[0], have[1] - less[1], have[2] - less[2]


def _with(counts: Counts, owed: Counts, kind: str, row: Row) -> tuple[Counts, Counts]:
    home, away, neither = row
    less = (max(0, -home), max(0, -away), max(0, -neither))
    counts = {**counts, kind: (max(0, home), max(0, away), max(0, neither))}
    if less != NOTHING:
        return counts, {**owed, kind: less}
    return counts, {name: held for name, held in owed.items() if name != kind} if kind in owed else owed
