"""Each raw record is an event, a repeat, a dead letter, of a retired match, unread, or unaccounted for."""

import pytest

from recovery.audit.findings import Findings
from recovery.audit.kafka_reads import RawRecord, TopicCut
from recovery.audit.known_rows import KnownRows
from recovery.audit.parked_check import Parking
from recovery.audit.raw_check import KnownLetter, RawCheck, ShardRecords, check_origins, digest
from recovery.audit.tally import Tallies, TopicTally
from schemas import letters
from schemas.identity import body_hash, hash_said, key_of
from schemas.raw import TOPIC_OF_SOURCE, RawEvent, source_of
from schemas.validation import ReadRecord, read
from tests.event_builders import MATCH, a_card, a_goal, a_pass, a_translation, encoded

NUMBER = 3


class Bench:
    """One partition's records against rows and letters, as many as a test says."""

    def __init__(self, topic: str = "broadcast-events", first: int = 0, end: int = 100) -> None:
        self.findings, self.tallies, self.rows = Findings(9), Tallies(), KnownRows()
        self.cut = TopicCut(topic, topic, "id", {0: (first, end)})
        self.tally = self.tallies.topics[topic] = TopicTally(topic=topic, topic_id="id")
        self.log = ShardRecords(0, 1, self.rows, {}, set(), Parking())

    def row(self, event: RawEvent, offset: int) -> None:
        is_fact = source_of(event) != "derived"
        position = len(self.rows) + 1
        self.rows.add(key_of(event), position, event.match, NUMBER, offset, body_hash(event), is_fact)

    def letter(self, offset: int, reason: str, value: bytes) -> None:
        self.log.letters[NUMBER, offset] = KnownLetter(1, reason, MATCH, digest(value))
        self.tally.dead_letters += 1

    def read(self, *records: tuple[int, bytes | None], next_offset: int = 100) -> dict[str, int]:
        check = RawCheck(self.log, self.cut, NUMBER, next_offset, self.findings, self.tallies)
        check.take(RawRecord(offset, None, value) for offset, value in records)
        check_origins(self.log, {NUMBER: self.cut}, {NUMBER: 100}, self.findings, self.tallies)
        return self.findings.counts


def test_event_and_its_repeats_are_told_apart() -> None:
    bench, event = Bench(), encoded(a_pass())
    bench.row(a_pass(), 4)
    assert bench.read((4, event), (5, event), (9, event)) == {}
    assert (bench.tally.records, bench.tally.events, bench.tally.repeats) == (3, 1, 2)
    assert bench.tally.adds_up


def test_row_must_name_the_first_appearance() -> None:
    bench, event = Bench(), encoded(a_pass())
    bench.row(a_pass(), 5)
    assert bench.read((4, event), (5, event)) == {"order": 1}


def test_record_that_is_nothing_is_unaccounted_or_not_read_yet() -> None:
    bench = Bench()
    assert bench.read((4, encoded(a_pass())), (8, b"{"), next_offset=8) == {"unaccounted": 1, "unread": 1}
    assert not bench.tally.adds_up


def test_records_that_left_kafka_unread_are_told() -> None:
    """The dead letter that says so stands before the first record that is still there."""
    bench = Bench(first=30)
    bench.letter(29, letters.REMOVED_UNREAD, b"")
    bench.tally.dead_letters -= 1  # it lies before what is compared
    assert bench.read() == {"removed": 1}


def test_other_body_under_a_known_identity_must_be_a_dead_letter() -> None:
    bench, other = Bench(), encoded(a_pass(player="Other"))
    bench.row(a_pass(), 4)
    assert bench.read((4, encoded(a_pass())), (5, other)) == {"unaccounted": 1}
    bench = Bench()
    bench.row(a_pass(), 4)
    bench.letter(5, letters.CONFLICTING_DUPLICATE, other)
    assert bench.read((4, encoded(a_pass())), (5, other)) == {}


def test_of_derived_records_the_first_write_wins_silently() -> None:
    bench = Bench("derived-events")
    first, second = a_translation(), a_translation(of="1" * 32)
    bench.row(first, 4)
    assert bench.read((4, encoded(first)), (5, encoded(second))) == {}
    assert bench.tally.repeats == 1


@pytest.mark.parametrize("reason", [letters.IMAGE_FULL, letters.FOLD_FAILED, letters.REFUSED_BY_STORAGE])
def test_append_may_refuse_a_good_record(reason: str) -> None:
    bench, event = Bench(), encoded(a_goal())
    bench.letter(4, reason, event)
    assert bench.read((4, event)) == {}


def test_dead_letter_of_a_good_record_needs_a_reason_of_the_append() -> None:
    bench, event = Bench(), encoded(a_goal())
    bench.letter(4, letters.INVALID_RECORD, event)
    assert bench.read((4, event)) == {"letter_reason": 1}


def test_record_on_another_topic_is_a_dead_letter_that_says_so() -> None:
    bench, event = Bench("sensor-events"), encoded(a_goal())
    bench.letter(4, letters.WRONG_TOPIC, event)
    assert bench.read((4, event)) == {}
    assert TOPIC_OF_SOURCE["broadcast"] != "sensor-events"


def test_record_without_a_value_is_a_dead_letter_of_no_bytes() -> None:
    bench = Bench()
    bench.letter(4, letters.EMPTY, b"")
    assert bench.read((4, None)) == {}


def test_record_of_a_retired_match_needs_no_row() -> None:
    bench = Bench()
    bench.log.retired.add(MATCH)
    assert bench.read((4, encoded(a_pass()))) == {}
    assert bench.tally.adds_up


def test_origin_that_kafka_no_longer_keeps_is_not_compared() -> None:
    bench = Bench(first=10)
    bench.row(a_pass(), 4)
    bench.row(a_card(), 12)
    assert bench.read((12, encoded(a_card()))) == {}
    assert (bench.tally.events, bench.tally.events_beyond) == (1, 1)


def test_origin_that_is_newer_than_the_cut_is_not_compared_but_one_beyond_the_end_is_wrong() -> None:
    bench = Bench(end=10)
    bench.row(a_pass(), 50)
    assert bench.read() == {}
    bench.row(a_card(), 100)
    assert bench.read() == {"origin": 1}


def test_origin_that_is_another_record_is_told() -> None:
    bench = Bench()
    bench.row(a_pass(), 4)
    assert bench.read((4, encoded(a_card()))) == {"unaccounted": 1, "origin": 1}


def test_a_record_is_known_by_all_that_it_says() -> None:
    """A field that no Struct knows makes another record; another spelling of it is a repeat."""
    said = encoded(a_pass()).replace(b'"body":{', b'"body":{"xg":0.25,')
    spaced = said.replace(b'"xg":0.25,', b' "xg" : 2.5e-1 , ')
    other = said.replace(b"0.25", b"0.26")
    bench, found = Bench(), read(said)
    assert isinstance(found, ReadRecord)
    bench.rows.add(key_of(a_pass()), 1, MATCH, NUMBER, 4, hash_said(found.said), True)
    assert bench.read((4, said), (5, spaced), (6, other)) == {"unaccounted": 1}
    assert bench.tally.repeats == 1


def test_a_row_of_an_older_log_accounts_for_its_record_and_its_repeats() -> None:
    """Its hash is of the fields that were known then, whatever else the record said."""
    said = encoded(a_goal()).replace(b'"body":{', b'"body":{"xg":0.25,')
    bench = Bench()
    bench.rows.add(key_of(a_goal()), 1, MATCH, NUMBER, 4, bytes.fromhex("9bc7c6dfebbd5c34"), True)
    assert bench.read((4, said), (5, encoded(a_goal())), (6, encoded(a_goal(player="B")))) == {
        "unaccounted": 1
    }
    assert (bench.tally.events, bench.tally.repeats) == (1, 1)


def test_a_record_that_was_taken_while_rules_were_laxer_is_accounted_for_by_its_row() -> None:
    """Names given twice are refused by now; without a row of that time they need a dead letter."""
    doubled = encoded(a_goal())[:-1] + b',"revision":0}'
    bench = Bench()
    bench.rows.add(key_of(a_goal()), 1, MATCH, NUMBER, 4, bytes.fromhex("9bc7c6dfebbd5c34"), True)
    assert bench.read((4, doubled)) == {}
    assert Bench().read((4, doubled)) == {"unaccounted": 1}
    bench = Bench()
    bench.row(a_goal(), 3)
    assert bench.read((3, encoded(a_goal())), (4, doubled)) == {"unaccounted": 1}


DOUBLED = encoded(a_goal(player="B"))[:-1] + b',"revision":0}'


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("broadcast-events", letters.CONFLICTING_DUPLICATE),
        ("broadcast-events", letters.IMAGE_FULL),
        ("broadcast-events", letters.INVALID_RECORD),
        ("sensor-events", letters.WRONG_TOPIC),
    ],
)
def test_a_letter_of_the_release_before_has_the_reason_of_its_time(topic: str, reason: str) -> None:
    """What is no record by now passed then, and was refused for what comes behind."""
    bench = Bench(topic)
    if topic == "broadcast-events":
        bench.row(a_goal(), 4)
    bench.letter(5, reason, DOUBLED)
    records = [(4, encoded(a_goal()))] if topic == "broadcast-events" else []
    assert bench.read(*records, (5, DOUBLED)) == {}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (DOUBLED, letters.CONFLICTING_DUPLICATE),  # with nothing in the log
        (DOUBLED, letters.WRONG_TOPIC),
        (DOUBLED, letters.WRONG_PARTITION),
        (DOUBLED, letters.MALFORMED_JSON),
        (b"{", letters.IMAGE_FULL),
    ],
)
def test_a_reason_that_no_release_gave_is_told(value: bytes, reason: str) -> None:
    bench = Bench()
    bench.letter(5, reason, value)
    assert bench.read((5, value)) == {"letter_reason": 1}
