"""What the incidents of a match may take of its image, and who gives way when it is full. Pure.

Goals have a budget of their own, and so have the other incidents that decide
a match. Both are charged for the longest that an incident can become without
its texts, so that a correction of a known id always fits. The rest, yellow
cards and substitutions, lives in what those do not use: texts give way
first, then whole incidents of the rest.
"""

from collections.abc import Iterable

import msgspec

from schemas.image import GOALS, MAX_IMAGE_BYTES, Incident

# Together with the other parts of an image, each bounded by itself, below
# MAX_IMAGE_BYTES: corrections 10 KB, counts and what is owed 8 KB, names and
# head 5 KB, readings 5 KB.
INCIDENTS_BYTES = MAX_IMAGE_BYTES - 28 * 1024
# 100 goals with ids of 36 characters, 20 with ids of 128 escaped ones.
GOALS_BYTES = 24 * 1024
DECIDING_BYTES = INCIDENTS_BYTES - GOALS_BYTES
# Kept free of new incidents of the rest: 25 goals, reviews and periods come
# before any of the rest has to go.
RESERVE_BYTES = 6 * 1024

_DECIDING = frozenset(
    {"penalty_missed", "second_yellow_card", "red_card", "var", "period_start", "period_end"}
)
_GOAL, _DECIDES, _REST = 0, 1, 2
_BUDGETS = {_GOAL: GOALS_BYTES, _DECIDES: DECIDING_BYTES}

_encode = msgspec.json.Encoder().encode
_FULL_TIME = "full_time"  # the one outcome that the status rests on

# An incident without texts and with an empty id, every other field at its longest.
_LONGEST = Incident(
    id="",
    revision=2**53 - 1,
    action="confirm",
    described=2**53 - 1,
    type="second_yellow_card",
    side="home",
    period=5,
    clock=14_400,
    outcome=_FULL_TIME,
    added=False,
    seq=2**31 - 1,
)
_FRAME_BYTES = len(_encode(_LONGEST)) - len(_encode("")) + 1  # and the comma behind it


class ImageFullError(ValueError):
    """A match has more incidents than its image may hold; `size` is what they would take, in bytes."""

    def __init__(self, match: str, size: int) -> None:
        super().__init__(f"the incidents of {match} would grow to {size} bytes")
        self.match = match
        self.size = size


def fitted(
    match: str, incidents: tuple[Incident, ...], known: Incident | None, merged: Incident
) -> tuple[Incident, ...]:
    """Incidents with `merged` among them, within their bytes.

    `known` is what was remembered of the id before. Raises ImageFullError
    when goals, or what else decides a match, alone exceed their budget, and
    for a new id of the rest that does not fit.
    """
    group = _group_of(merged)
    if known is None or _group_of(known) != group:
        _admit(match, incidents, group, is_new=known is None)
    excess = len(_encode(incidents)) - INCIDENTS_BYTES
    return incidents if excess <= 0 else _shortened(incidents, merged, excess)


def may_enter(incidents: tuple[Incident, ...], merged: Incident) -> bool:
    """Whether the budget of its group covers `merged`, which is among the incidents."""
    group = _group_of(merged)
    return group == _REST or _longest(i for i in incidents if _group_of(i) == group) <= _BUDGETS[group]


def _admit(match: str, incidents: tuple[Incident, ...], group: int, is_new: bool) -> None:
    if group != _REST:
        size = _longest(i for i in incidents if _group_of(i) == group)
        if size > _BUDGETS[group]:
            raise ImageFullError(match, size)
    elif is_new:
        deciding = _longest(i for i in incidents if _group_of(i) != _REST)
        rest = _size([_without_texts(i) for i in incidents if _group_of(i) == _REST])
        size = rest + max(deciding, RESERVE_BYTES)
        if size > INCIDENTS_BYTES:
            raise ImageFullError(match, size)


def _shortened(incidents: tuple[Incident, ...], merged: Incident, excess: int) -> tuple[Incident, ...]:
    """Take away `excess` bytes: texts of the rest, texts of the others, then the rest itself.

    Of each, what stands first in the match goes first, and `merged` last.
    """
    kept: dict[str, Incident] = {i.id: i for i in incidents}
    for incident in sorted(incidents, key=lambda i: (-_group_of(i), i is merged)):
        if excess <= 0:
            break
        short = _without_texts(incident)
        excess -= len(_encode(incident)) - len(_encode(short))
        kept[incident.id] = short
    rest = [i for i in incidents if _group_of(i) == _REST]
    for incident in sorted(rest, key=lambda i: (i is merged, i.stands)):
        if excess <= 0:
            break
        excess -= len(_encode(kept.pop(incident.id))) + 1
    return tuple(kept.values())


def _without_texts(incident: Incident) -> Incident:
    return msgspec.structs.replace(
        incident,
        reason="",
        player="",
        other_player="",
        outcome=incident.outcome if incident.outcome == _FULL_TIME else "",
        insert_before="",
    )


def _group_of(incident: Incident) -> int:
    return _GOAL if incident.type in GOALS else _DECIDES if incident.type in _DECIDING else _REST


def _longest(incidents: Iterable[Incident]) -> int:
    """Bytes of incidents at their longest, texts left out."""
    return sum(_FRAME_BYTES + len(_encode(i.id)) for i in incidents)


def _size(incidents: Iterable[Incident]) -> int:
    return sum(len(_encode(i)) + 1 for i in incidents)
