"""What waits and what was obeyed is accounted for by its origin."""

from collections.abc import Iterable

import pytest

from recovery.audit.findings import Findings
from recovery.audit.kafka_reads import RawRecord, TopicCut
from recovery.audit.known_rows import KnownRows
from recovery.audit.parked_check import Parking, check_controls
from recovery.audit.raw_check import RawCheck, ShardRecords, check_origins
from recovery.audit.tally import Tallies, TopicTally
from schemas.control import CONTROL_TOPIC, PARK, ControlRecord, encode_control
from schemas.identity import key_of
from schemas.weight import importance_of
from storage.audit_reads import ControlState, ParkedRow
from tests.event_builders import KICK_OFF, MATCH, a_pass, a_translation, encoded

WEIGHT = (importance_of(a_translation()), "und")
NUMBER = 3
CONTROL = encode_control(ControlRecord(type=PARK, match=MATCH, issued_at=KICK_OFF, issued_by="somebody"))


def _audit(
    parking: Parking, records: Iterable[tuple[int, bytes]], topic: str = CONTROL_TOPIC
) -> tuple[dict[str, int], TopicTally]:
    findings, tallies = Findings(9), Tallies()
    cut = TopicCut(topic, topic, "id", {0: (0, 100)})
    tally = tallies.topics[topic] = TopicTally(topic=topic, topic_id="id")
    log = ShardRecords(0, 1, KnownRows(), {}, set(), parking)
    check = RawCheck(log, cut, NUMBER, 100, findings, tallies)
    check.take(RawRecord(offset, None, value) for offset, value in records)
    check_origins(log, {NUMBER: cut}, {NUMBER: 100}, findings, tallies)
    return findings.counts, tally


def _parked(offset: int, value: bytes) -> ParkedRow:
    return ParkedRow(1, NUMBER, offset, MATCH, *WEIGHT, value)


def test_events_that_wait_and_controls_that_were_obeyed_add_up() -> None:
    waits = encoded(a_translation())
    parking = Parking([_parked(5, waits)], [ControlState(1, MATCH, PARK, "parked", NUMBER, 4)], [MATCH])
    assert parking.keys == {key_of(a_translation())}
    counts, tally = _audit(parking, [(4, CONTROL), (5, waits)])
    assert counts == {}
    assert (tally.parked, tally.controls) == (1, 1)
    assert tally.adds_up


def test_a_control_that_nobody_obeyed_is_unaccounted() -> None:
    assert _audit(Parking(), [(4, CONTROL)])[0] == {"unaccounted": 1}


def test_what_waits_must_be_its_record_in_kafka() -> None:
    parking = Parking([_parked(5, encoded(a_pass("other")))], [], [MATCH])
    assert _audit(parking, [(5, encoded(a_pass()))], "broadcast-events")[0] == {"parked": 1}
    parking = Parking(
        [_parked(6, encoded(a_pass()))], [ControlState(1, MATCH, PARK, "parked", NUMBER, 7)], [MATCH]
    )
    assert _audit(parking, [], "broadcast-events")[0] == {"parked": 2}


def test_nothing_waits_in_an_open_match() -> None:
    waits = encoded(a_pass())
    assert _audit(Parking([_parked(5, waits)]), [(5, waits)], "broadcast-events")[0] == {"parked": 1}


def test_an_event_that_waits_has_the_weight_that_its_record_has() -> None:
    """Release folds it with what the row says."""
    waits = encoded(a_translation())
    for weight in ((9, "und"), (WEIGHT[0], "ru")):
        parking = Parking([ParkedRow(1, NUMBER, 5, MATCH, *weight, waits)], [], [MATCH])
        assert _audit(parking, [(5, waits)])[0] == {"parked": 1}


def _controls(*rows: tuple[str, str, bool]) -> int:
    findings = Findings(9)
    states = [
        ControlState(number, MATCH, kind, state, NUMBER if is_told else None, number)
        for number, (kind, state, is_told) in enumerate(rows)
    ]
    check_controls(0, states, findings)
    return findings.counts.get("parked", 0)


def test_controls_that_a_lane_obeyed_leave_their_match_as_told() -> None:
    parked, releasing, opened = (
        ("park", "parked", True),
        ("release", "releasing", True),
        ("opened", "open", False),
    )
    assert _controls(parked, parked, releasing, opened, ("release", "open", True), parked) == 0
    assert _controls(parked, releasing, parked, releasing, opened) == 0


@pytest.mark.parametrize(
    "rows",
    [
        [("park", "parked", False)],
        [("park", "open", True)],
        [("opened", "open", False)],
        [("park", "parked", True), ("opened", "open", False)],
        [("park", "parked", True), ("release", "open", True)],
        [("park", "parked", True), ("release", "releasing", True), ("opened", "open", True)],
        [("release", "releasing", True)],
        [("shut", "parked", True)],
    ],
)
def test_a_control_that_no_lane_writes_is_told(rows: list[tuple[str, str, bool]]) -> None:
    """What nobody parked would wait for ever; what nobody released would go on without what waits."""
    assert _controls(*rows) == 1
