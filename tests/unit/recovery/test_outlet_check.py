"""Every kind of damage to what the relay copies to Kafka is found, and named for what it is."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from confluent_kafka import Message

from dataflows.kafka_records import letter_records, live_records
from recovery.audit.findings import KINDS, Findings
from recovery.audit.kafka_reads import OutletRecord, outlet_record
from recovery.audit.outlet_check import LettersCheck, LiveEventsCheck, OutletTally
from sinks.record_fit import KafkaRecord, fitted
from storage.audit_reads import LetterRow, LogRow, ShardRow
from storage.relay_reads import Letter, LoggedRow, LogRun

AT = datetime(2024, 3, 16, 22, 0, tzinfo=UTC)

BASE, HEAD = 4, 12  # positions 5 to 12
NOW, BEFORE = 1_700, 1_600  # generations
OLD = b"\xee" * 16  # a chain of another history
Topic = list[OutletRecord]
Damage = Callable[[Topic], Topic]


def chain(position: int) -> bytes:
    return bytes([position]) * 16


def payload(position: int) -> bytes:
    return b'{"seq":%d}' % position


def numbered(records: list[KafkaRecord], first: int = 0) -> Topic:
    """As a consumer reads them."""
    return [
        OutletRecord(
            offset,
            record.key.encode() if isinstance(record.key, str) else record.key,
            record.value,
            {name: value.encode() if isinstance(value, str) else value for name, value in record.headers},
        )
        for offset, record in enumerate(records, first)
    ]


def live(*positions: int, generation: int = NOW, of: Callable[[int], bytes] = chain) -> Topic:
    rows = [LoggedRow(position, of(position), "match-1", payload(position)) for position in positions]
    return numbered(live_records("")(LogRun(0, generation, rows)))


def letters(*numbers: int, value: bytes = b"letter %d", limit: int = 1_000_000) -> Topic:
    made = [Letter(n, "social-events", 0, 100 + n, "oversized", "why", AT, b"k", value % n) for n in numbers]
    return numbered([fitted(record, limit) for record in letter_records("")(made)])


def whole() -> Topic:
    return live(*range(BASE + 1, HEAD + 1))


def changed(topic: Topic, index: int, **what: object) -> Topic:
    return [r._replace(**what) if at == index else r for at, r in enumerate(topic)]  # type: ignore[arg-type]


def relabelled(topic: Topic, index: int, **headers: bytes) -> Topic:
    return changed(topic, index, headers=topic[index].headers | headers)


def audit_live(topic: Topic, kept: int = 100, is_trimmed: bool = False) -> tuple[Findings, OutletTally]:
    findings, tally = Findings(10), OutletTally(topic="live-events")
    shard = ShardRow(0, NOW, BASE, chain(BASE), HEAD, chain(HEAD))
    check = LiveEventsCheck(shard, kept, tally, findings)
    check.remember(
        LogRow(at, "match-1", at, b"", b"", chain(at), 1, at, 0, 0, True, 1, payload(at))
        for at in range(BASE + 1, HEAD + 1)
    )
    check.take(topic)
    check.finish(is_trimmed)
    return findings, tally


def audit_letters(topic: Topic, is_trimmed: bool = False, value: bytes = b"letter %d") -> Findings:
    findings = Findings(10)
    check = LettersCheck("social-events", 0, OutletTally(topic="social-events-dlq"), findings)
    for number in (1, 2, 3):
        check.remember(LetterRow(number, 1, 100 + number, "oversized", None, value % number))
    check.take(topic)
    check.finish(is_trimmed)
    return findings


DAMAGES: dict[str, tuple[Topic, set[str]]] = {
    # what the topic holds, and every kind of difference that it must show as
    "an event that is missing": (live(5, 6, 8, 9, 10, 11, 12), {"outlet_hole"}),
    "the last event missing": (live(*range(5, 12)), {"outlet_hole"}),
    "the first event missing": (live(*range(6, 13)), {"outlet_hole"}),
    "nothing there": ([], {"outlet_hole"}),
    "an event behind a later one": (live(5, 6, 8, 7, 9, 10, 11, 12), {"outlet_order"}),
    "another event's bytes": (changed(whole(), 2, value=b"{}"), {"outlet_bytes"}),
    "another match as key": (changed(whole(), 2, key=b"match-2"), {"outlet_bytes"}),
    "another chain": (relabelled(whole(), 2, chain=OLD.hex().encode()), {"outlet_bytes", "outlet_hole"}),
    "another position": (relabelled(whole(), 2, position=b"8"), {"outlet_bytes", "outlet_hole"}),
    "a record without headers": (changed(whole(), 2, headers={}), {"outlet_record", "outlet_hole"}),
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda name: name.replace(" ", "-"))
def test_damage_to_live_events_is_found_and_named(damage: str) -> None:
    topic, kinds = DAMAGES[damage]
    findings, _ = audit_live(topic)
    assert set(findings.counts) == kinds
    assert kinds <= KINDS.keys()
    assert all(difference.where for difference in findings.first())


SOUND: dict[str, tuple[Topic, int, bool]] = {
    # what the topic holds, how much a reader is promised, and whether Kafka has trimmed it
    "all of it": (whole(), 100, False),
    "repeats, as of a relay that was killed": ([*live(5, 6, 7), *whole()], 100, False),
    "two relays": (sorted([*whole(), *whole()], key=lambda record: record.offset), 100, False),
    "what the retention of streams promises": (live(10, 11, 12), 3, False),
    "what Kafka has kept": (live(10, 11, 12), 100, True),
    "newer events than the audit's": ([*whole(), *live(13, 14)], 100, False),
    "commits that were lost, and the same again in the next life": (
        [*changed(live(5, 6, 7, generation=BEFORE), 2, value=b"appended earlier"), *whole()[3:]],
        100,
        False,
    ),
    "a history that was lost, and begun anew": (
        [*live(5, 6, generation=BEFORE), *live(7, 8, generation=BEFORE, of=lambda _: OLD), *whole()],
        100,
        False,
    ),
}


@pytest.mark.parametrize("name", SOUND, ids=lambda name: name.replace(" ", "-"))
def test_what_a_relay_may_leave_is_no_difference(name: str) -> None:
    topic, kept, is_trimmed = SOUND[name]
    findings, tally = audit_live(topic, kept, is_trimmed)
    assert findings.counts == {}
    assert tally.records == tally.delivered + tally.repeats + tally.other


LETTER_DAMAGES: dict[str, tuple[Topic, set[str]]] = {
    "a letter missing": (letters(1, 3), {"outlet_hole"}),
    "a letter behind a later one": (letters(2, 1, 3), {"outlet_order"}),
    "another letter's bytes": (changed(letters(1, 2, 3), 1, value=b"x"), {"outlet_bytes"}),
    "another reason": (relabelled(letters(1, 2, 3), 1, reason=b"late"), {"outlet_bytes"}),
    "another topic as origin": (
        relabelled(letters(1, 2, 3), 1, origin=b"sensor-events/0/102"),
        {"outlet_record", "outlet_hole"},
    ),
    "a record without headers": (
        changed(letters(1, 2, 3), 1, headers={}),
        {"outlet_record", "outlet_hole"},
    ),
    "all there, one twice": ([*letters(1, 2), *letters(2, 3)], set()),
}


@pytest.mark.parametrize("damage", LETTER_DAMAGES, ids=lambda name: name.replace(" ", "-"))
def test_damage_to_copied_letters_is_found_and_named(damage: str) -> None:
    topic, kinds = LETTER_DAMAGES[damage]
    assert set(audit_letters(topic).counts) == kinds


def test_headers_without_a_value_are_of_somebody_else_and_end_no_audit() -> None:
    nameless = dict.fromkeys(("generation", "position", "chain", "letter", "origin", "reason", "rejected_at"))
    message = Message(offset=7, key=b"k", value=b"v", headers=list(nameless.items()))
    record = outlet_record(message, 7)
    assert set(audit_live([*whole(), record])[0].counts) == {"outlet_record"}
    assert set(audit_letters([*letters(1, 2, 3), record]).counts) == {"outlet_record"}


def test_letters_that_kafka_has_trimmed_are_not_missed() -> None:
    assert audit_letters(letters(2, 3), is_trimmed=True).counts == {}


LARGE = b"%d" + b"x" * 50_000
CUT = letters(1, 2, 3, value=LARGE, limit=20_000)


@pytest.mark.parametrize("limit", [600, 3_000, 20_000, 49_000, 1_000_000])
def test_copies_cut_to_what_a_topic_takes_are_sound(limit: int) -> None:
    """Whatever the topic takes, down to a stub: the beginning is there, and how much there was."""
    assert audit_letters(letters(1, 2, 3, value=LARGE, limit=limit), value=LARGE).counts == {}


CUT_DAMAGES: dict[str, Topic] = {
    "another beginning": changed(CUT, 1, value=b"2" + b"y" * (len(CUT[1].value or b"") - 1)),
    "another size": relabelled(CUT, 1, cut=b"50"),
    "no number": relabelled(CUT, 1, cut=b"many"),
    "a number that Python does not read": relabelled(CUT, 1, cut=b"9" * 5_000),
    "cut unsaid": changed(CUT, 1, headers={k: v for k, v in CUT[1].headers.items() if k != "cut"}),
    "cut somewhere else": changed(CUT, 1, value=(CUT[1].value or b"")[:-1]),
    "another letter's beginning": changed(CUT, 1, value=CUT[0].value),
}


@pytest.mark.parametrize("damage", CUT_DAMAGES, ids=lambda name: name.replace(" ", "-"))
def test_damage_to_a_copy_that_was_cut_is_found(damage: str) -> None:
    assert set(audit_letters(CUT_DAMAGES[damage], value=LARGE).counts) == {"outlet_bytes"}


def stubbed(topic: Topic, index: int, **headers: bytes) -> Topic:
    """A record that `live-events` did not take."""
    record = topic[index]
    size = b"%d" % len(record.value or b"")
    return relabelled(changed(topic, index, value=b""), index, **{"cut": size, "stub": b"why", **headers})


def test_a_stub_of_an_event_is_sound_and_a_wrong_one_is_not() -> None:
    assert audit_live(stubbed(whole(), 2))[0].counts == {}
    assert set(audit_live(stubbed(whole(), 2, cut=b"1"))[0].counts) == {"outlet_bytes"}
    assert set(audit_live(changed(whole(), 2, value=b""))[0].counts) == {"outlet_bytes"}
    other = changed(stubbed(whole(), 2), 2, key=b"match-2")
    assert set(audit_live(other)[0].counts) == {"outlet_bytes"}
