"""What the relay writes to Kafka, and how it reads its own last record."""

from datetime import UTC, datetime

from dataflows.kafka_looks import go_on_from
from dataflows.kafka_records import letter_of, letter_records, live_records, place_of
from schemas.identity import ZERO_CHAIN
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
    assert place_of(as_read(record)) == Place(8, CHAIN)


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
    for headers in ({}, {"position": b"x", "chain": b"00"}, {"position": b"1", "chain": b"zz"}):
        assert place_of(headers) is None
    for headers in (
        {},
        {"letter": b"1"},
        {"letter": b"x", "origin": b"a/0/1"},
        {"letter": b"1", "origin": b"?"},
        {"letter": b"1", "origin": b"a/0/1", "reason": b"empty", "rejected_at": b"then"},
    ):
        assert letter_of(headers) is None


def a_state(base: int, head: int, chain_at: bytes | None) -> ShardState:
    return ShardState(0, 7, Place(base, ZERO_CHAIN), Place(head, CHAIN), chain_at, 0)


def test_kafka_is_filled_behind_its_last_record() -> None:
    assert go_on_from(Place(30, CHAIN), a_state(0, 90, CHAIN), retention=10) == 30


def test_kafka_with_another_history_or_none_gets_what_a_new_stream_would() -> None:
    """Readers find the rest in the log, by the cursor rule."""
    assert go_on_from(None, a_state(0, 90, None), retention=10) == 80
    assert go_on_from(None, a_state(85, 90, None), retention=10) == 85
    assert go_on_from(Place(30, CHAIN), a_state(0, 90, b"other"), retention=100) == 0
    assert go_on_from(Place(99, CHAIN), a_state(0, 90, None), retention=100) == 0
