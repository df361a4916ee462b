"""What a shard's lane parked and what it was told, to find the records that it came from. Pure."""

from collections.abc import Iterable, Mapping

from recovery.audit.findings import Findings
from recovery.audit.kafka_reads import TopicCut
from schemas.control import PARK, RELEASE
from schemas.identity import key_of
from schemas.validation import Rejection, parse
from schemas.weight import importance_of, language_of
from storage.audit_reads import ControlState, ParkedRow
from storage.parking import OPEN, PARKED, RELEASING

# A lane's own control: the last parked event is in the log, and the match goes on.
OPENED = "opened"

Place = tuple[int, int]  # topic number, offset


class Parking:
    """Parked events and obeyed controls by origin; those whose record is found are taken out."""

    def __init__(
        self,
        parked: Iterable[ParkedRow] = (),
        controls: Iterable[ControlState] = (),
        closed: Iterable[str] = (),
    ) -> None:
        """`closed`: the matches that are parked or being released."""
        self._parked = {(row.topic, row.source_offset): row for row in parked}
        self._told = {(row.topic, row.source_offset): row for row in controls if row.topic is not None}
        parked_now = set(closed)
        self._stuck = [row for row in self._parked.values() if row.match not in parked_now]
        self.keys: set[bytes] = set()
        self._misweighed: list[tuple[ParkedRow, int, str]] = []
        for row in self._parked.values():
            event = parse(row.original)
            if isinstance(event, Rejection):
                continue
            self.keys.add(key_of(event))
            weight = importance_of(event), language_of(event)
            if weight != (row.importance, row.language):
                self._misweighed.append((row, *weight))

    def take_event(self, place: Place) -> ParkedRow | None:
        return self._parked.pop(place, None) if self._parked else None

    def take_control(self, place: Place) -> ControlState | None:
        return self._told.pop(place, None)

    def check_matches(self, findings: Findings) -> None:
        """Events wait only in matches that are parked: in one that goes on nothing would release them."""
        for row in self._stuck:
            findings.add("parked", _where(row), "an open match has none", "an event that waits", row.match)
        for row, importance, language in self._misweighed:
            expected = f"importance {importance}, language {language}"
            found = f"importance {row.importance}, language {row.language}"
            findings.add("parked", _where(row), expected, found, row.match)

    def check_origins(
        self, shard: int, cuts: Mapping[int, TopicCut], ends: Mapping[int, int], findings: Findings
    ) -> None:
        """After all records of a shard: what is left names records that did not turn up."""
        for place, match, where in [
            *((place, row.match, _where(row)) for place, row in self._parked.items()),
            *((place, row.match, f"{row.kind} {row.match}") for place, row in self._told.items()),
        ]:
            number, offset = place
            cut = cuts.get(number)
            if cut is not None and (cut.holds(shard, offset) or offset >= ends[number]):
                expected = f"its record at {cut.name}[{shard}]@{offset}"
                findings.add("parked", where, expected, "no record", match)


def check_controls(shard: int, controls: Iterable[ControlState], findings: Findings) -> None:
    """Each control leaves its match as told: nothing but a record parks, and only what is released opens."""
    states: dict[str, str] = {}
    for control in controls:
        before = states.get(control.match, OPEN)
        expected = _following(control, before)
        if control.state != expected:
            where = f"control {control.control}, shard {shard}"
            found = f"{control.kind} leaves it {control.state}"
            findings.add("parked", where, expected or f"no such control while {before}", found, control.match)
        states[control.match] = control.state


def _following(control: ControlState, before: str) -> str:
    """The state behind a control; "" for one that no lane writes then."""
    is_told = control.topic is not None
    if is_told and control.kind == PARK:
        return PARKED
    if is_told and control.kind == RELEASE:
        return OPEN if before == OPEN else RELEASING
    return OPEN if not is_told and control.kind == OPENED and before == RELEASING else ""


def _where(row: ParkedRow) -> str:
    return f"parked event {row.parked}"
