"""Step `decode`: nothing is dropped, nothing changes places, every refusal says why and where from."""

import msgspec
import pytest

from dataflows.decode import decode_batch
from schemas import letters
from schemas.batch import Event, RawBatch
from schemas.identity import body_hash, key_of
from schemas.letters import DeadLetter
from schemas.partitioning import partition_of
from tests.event_builders import MATCH, a_goal, a_pass, a_reading

SHARDS = 8
HOME = partition_of(MATCH, SHARDS)


def _batch(*values: bytes | None, topic: str = "broadcast-events", partition: int = HOME) -> RawBatch:
    return RawBatch(topic, partition, [(40 + i, b"key", value) for i, value in enumerate(values)])


def test_good_and_bad_records_stay_in_order() -> None:
    """A batch keeps one entry per record, in the order of the topic."""
    goal, move = msgspec.json.encode(a_goal()), msgspec.json.encode(a_pass())
    batch = decode_batch(_batch(goal, b"{", move), SHARDS)
    assert [type(entry) for entry in batch.entries] == [Event, DeadLetter, Event]
    assert batch.offsets() == [40, 41, 42]
    assert batch.next_offset == 43


def test_an_event_carries_its_identity_and_offset() -> None:
    """Key and hash are those of the record, and the bytes stay for the letter it may still become."""
    value = msgspec.json.encode(a_goal())
    [entry] = decode_batch(_batch(value), SHARDS).entries
    assert isinstance(entry, Event)
    assert (entry.key, entry.body_hash) == (key_of(a_goal()), body_hash(a_goal()))
    assert (entry.offset, entry.value) == (40, value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, letters.EMPTY),
        (b"", letters.EMPTY),
        (b"no json", letters.MALFORMED_JSON),
        (b"\xff\xfe", letters.INVALID_UTF8),
        (b"[1,2]", letters.INVALID_RECORD),
        (b"{}", letters.INVALID_RECORD),
        (b" " * 100_000, letters.OVERSIZED),
        (b'{"z":' + b"[" * 20_000 + b"]" * 20_000 + b"}", letters.TOO_DEEP),
        (msgspec.json.encode(a_pass(text="a\0b")), letters.FORBIDDEN_CHARACTER),
        (msgspec.json.encode(a_reading()), letters.WRONG_TOPIC),
    ],
)
def test_a_bad_record_is_a_dead_letter_with_reason_and_origin(value: bytes | None, reason: str) -> None:
    """What decode refuses keeps its bytes, its key and its place in Kafka."""
    [entry] = decode_batch(_batch(value), SHARDS).entries
    assert isinstance(entry, DeadLetter)
    assert entry.reason == reason
    assert entry.origin == ("broadcast-events", HOME, 40)
    assert (entry.key, entry.original) == (b"key", value or b"")
    assert entry.detail


def test_a_record_on_a_foreign_partition_is_refused() -> None:
    """Shard = partition: a match on two partitions would have two writers."""
    other = (HOME + 1) % SHARDS
    [entry] = decode_batch(_batch(msgspec.json.encode(a_goal()), partition=other), SHARDS).entries
    assert isinstance(entry, DeadLetter)
    assert entry.reason == letters.WRONG_PARTITION
    assert str(HOME) in entry.detail
    assert entry.match == MATCH
