"""Control records are obeyed where they belong, and dead letters anywhere else."""

import pytest

from dataflows.decode import decode_batch
from schemas.batch import Control, EventBatch, RawBatch
from schemas.control import CONTROL_TOPIC, PARK, ControlRecord, encode_control
from schemas.letters import DeadLetter
from schemas.partitioning import partition_of
from tests.event_builders import KICK_OFF, MATCH, a_translation, encoded

SHARDS = 8
HOME = partition_of(MATCH, SHARDS)
RECORD = ControlRecord(type=PARK, match=MATCH, issued_at=KICK_OFF, issued_by="somebody", because="why")


def _decoded(value: bytes, topic: str = CONTROL_TOPIC, partition: int = HOME) -> EventBatch:
    return decode_batch(RawBatch(topic, partition, [(7, MATCH.encode(), value)]), SHARDS)


def test_a_control_record_travels_in_its_place_with_its_origin() -> None:
    records = [encoded(a_translation()), encode_control(RECORD), encoded(a_translation(of="1" * 32))]
    batch = RawBatch(CONTROL_TOPIC, HOME, [(n, None, value) for n, value in enumerate(records)])
    _, control, _ = decode_batch(batch, SHARDS).entries
    assert isinstance(control, Control)
    assert control.record == RECORD
    assert control.origin == (CONTROL_TOPIC, HOME, 1)


@pytest.mark.parametrize("topic", ["broadcast-events", "sensor-events", "social-events"])
def test_no_source_can_park_a_match(topic: str) -> None:
    (entry,) = _decoded(encode_control(RECORD), topic).entries
    assert isinstance(entry, DeadLetter)


def test_the_control_of_another_shard_is_a_dead_letter() -> None:
    (entry,) = _decoded(encode_control(RECORD), partition=(HOME + 1) % SHARDS).entries
    assert isinstance(entry, DeadLetter)


@pytest.mark.parametrize(
    "value",
    [
        encode_control(RECORD).replace(b'"park"', b'"stop"'),
        encode_control(RECORD).replace(b'"why"', b'"\\u0000"'),
        encode_control(RECORD).replace(b'"why"', b'"\\ud800"'),
        encode_control(RECORD)[:-1],
    ],
)
def test_what_is_no_control_record_is_a_dead_letter(value: bytes) -> None:
    (entry,) = _decoded(value).entries
    assert isinstance(entry, DeadLetter)
