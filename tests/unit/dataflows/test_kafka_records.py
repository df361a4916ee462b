"""What the relay writes to Kafka, and how it reads its own last record."""

from datetime import UTC, datetime

from dataflows.kafka_looks import go_on_from, has_lost
from dataflows.kafka_records import letter_of, letter_records, live_records
from schemas.identity import ZERO_CHAIN
from schemas.log_position import LogPosition
from schemas.outlets import live_place
from sinks.record_fit import KafkaRecord
from storage.relay_reads import Letter, LoggedRow, LogRun, Place, ShardState

CHAIN = bytes(range(16))
REJECTED_AT = datetime(2024, 3, 16, 22, 0, 0, 7, tzinfo=UTC)


def as_read(record: KafkaRecord) -> dict[str, bytes]:
    """Headers as a consumer gets them."""
    return {name: value.encode() if isinstance(value, str) else value for name, value in record.headers}


def a_letter(**told: object) -> Letter:
    letter = Letter(41, "social-events", 3, 977, "malformed_json", "no brace", REJECTED_AT, b"match-1", b"{")
    return letter._replace(**told)  # type: ignore[arg-type]


def test_an_event_goes_to_its_shard_with_its_place() -> None:
    run = LogRun(5, 1_700, [LoggedRow(8, CHAIN, "match-1", b"{}")])
    (record,) = live_records("p.")(run)
    assert record[:4] == ("p.live-events", 5, "match-1", b"{}")
    assert as_read(record) == {"generation": b"1700", "position": b"8", "chain": CHAIN.hex().encode()}
    assert live_place(as_read(record)) == LogPosition(1_700, 8, CHAIN)


def test_a_letter_is_copied_byte_for_byte_to_its_topic() -> None:
    (record,) = letter_records("p.")([a_letter()])
    assert record[:4] == ("p.social-events-dlq", 3, b"match-1", b"{")
    assert as_read(record) == {
        "letter": b"41",
        "reason": b"malformed_json",
        "detail": b"no brace",
        "origin": b"social-events/3/977",
        "rejected_at": b"2024-03-16T22:00:00.000007+00:00",
    }
    assert letter_of(as_read(record)) == (41, REJECTED_AT)


def test_a_letter_goes_whole_to_the_outlet_which_knows_what_its_topic_takes() -> None:
    original = b"x" * 2_000_000
    (record,) = letter_records("")([a_letter(original=original)])
    assert record.value == original
    assert record.may_be_cut


def test_a_record_of_somebody_else_has_no_place() -> None:
    ours = {"generation": b"1700", "position": b"8", "chain": CHAIN.hex().encode()}
    assert live_place(ours) is not None
    for wrong in (
        {"position": b"x"},
        {"chain": b"zz"},
        {"chain": CHAIN.hex().encode()[2:]},
        {"generation": b"-1"},
        {"generation": b"9007199254740992"},
        {"position": b"99999999999999999999"},
    ):
        assert live_place(ours | wrong) is None
    assert live_place({}) is None
    for headers in (
        {},
        {"letter": b"1"},
        {"letter": b"x", "origin": b"a/0/1"},
        {"letter": b"1", "origin": b"?"},
        {"letter": b"1", "origin": b"a/0/1", "reason": b"empty", "rejected_at": b"then"},
    ):
        assert letter_of(headers) is None
    ours = as_read(letter_records("")([a_letter()])[0])
    assert letter_of(ours) is not None
    for wrong in (
        {"letter": b"0"},
        {"letter": b"-1"},
        {"letter": b"9223372036854775808"},
        {"letter": b"9" * 5_000},
        {"rejected_at": b"2024-03-16T22:00:00"},
    ):
        # The relay asks PostgreSQL for the last letters of all partitions at once.
        assert letter_of(ours | wrong) is None


def a_state(base: int, head: int, chain_at: bytes | None) -> ShardState:
    return ShardState(0, 7, Place(base, ZERO_CHAIN), Place(head, CHAIN), chain_at, 0)


def a_record(position: int, generation: int = 7) -> LogPosition:
    return LogPosition(generation, position, CHAIN)


def test_kafka_is_filled_behind_its_last_record() -> None:
    assert go_on_from(a_record(30), a_state(0, 90, CHAIN), retention=10) == 30


def test_kafka_without_records_gets_what_a_new_stream_would() -> None:
    """Readers find the rest in the log, by the cursor rule."""
    assert go_on_from(None, a_state(0, 90, None), retention=10) == 80
    assert go_on_from(None, a_state(85, 90, None), retention=10) == 85


def test_kafka_with_another_history_gets_all_since_well_before_its_last_record() -> None:
    """However long the relay was away: the histories part before that record, and nothing is left out."""
    assert go_on_from(a_record(30), a_state(0, 90, b"other"), retention=100) == 0
    assert go_on_from(a_record(30), a_state(0, 90, b"other"), retention=10) == 20
    assert go_on_from(a_record(99), a_state(0, 90, None), retention=100) == 0
    assert go_on_from(a_record(99), a_state(0, 90, None), retention=10) == 80
    assert go_on_from(a_record(30), a_state(25, 90, b"other"), retention=10) == 25


def test_a_record_that_the_log_has_no_more_is_of_a_lost_history() -> None:
    """Another chain or a head below it, in the same generation; or a generation unknown to the log."""
    assert has_lost(a_record(30), a_state(0, 90, b"other"))
    assert has_lost(a_record(99), a_state(0, 90, None))
    assert has_lost(a_record(30, generation=8), a_state(0, 90, CHAIN))


def test_a_record_that_the_log_has_or_dropped_or_gave_up_is_not_lost() -> None:
    assert not has_lost(a_record(30), a_state(0, 90, CHAIN))
    assert not has_lost(a_record(30), a_state(40, 90, None))
    assert not has_lost(a_record(30, generation=6), a_state(0, 90, b"other"))
