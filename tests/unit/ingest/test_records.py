"""Each line of a feed becomes exactly one record, good or as it came."""

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from ingest.records import LONGEST_FORWARDED_BYTES, Outgoing, forwarded, from_feed, stamped
from ingest.vendors import VendorFormatError, mapper
from schemas.partitioning import partition_of
from schemas.raw import BroadcastEvent, RawEvent
from schemas.validation import Rejection, parse
from tests.event_builders import MATCH, a_goal, a_post, a_reading, as_read, encoded

NOW = datetime(2025, 5, 4, 12, 0, tzinfo=UTC)
SHARDS = 8
OURS = mapper("touchline", "")


def parsed(record: Outgoing) -> RawEvent:
    event = parse(record.value)
    assert not isinstance(event, Rejection)
    return event


def test_a_good_record_is_stamped_and_addressed_by_its_match() -> None:
    record = stamped(as_read(a_reading()), NOW, SHARDS)
    assert record[:3] == ("sensor-events", partition_of(MATCH, SHARDS), MATCH.encode())
    assert parsed(record).ingested_at == NOW


def test_our_stamp_replaces_one_that_came_along() -> None:
    early = a_goal(ingested_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert parsed(stamped(as_read(early), NOW, SHARDS)).ingested_at == NOW


def test_what_we_do_not_know_of_a_record_is_passed_on() -> None:
    """A producer may say more before the platform is told; stamping must not drop it."""
    line = b'{"venue":"Montju\xc3\xafc", ' + encoded(a_goal())[1:].replace(
        b'"body":{', b'"body":{"xg":0.310,'
    )
    (record,) = from_feed([line], OURS, "broadcast", NOW, SHARDS).records
    said = json.loads(record.value)
    assert (said["venue"], said["body"]["xg"]) == ("Montjuïc", 0.31)
    assert record.value.endswith(b',"ingested_at":"2025-05-04T12:00:00Z"}')


def test_a_line_that_is_no_record_is_forwarded_byte_by_byte() -> None:
    line = b'{"source":"broadcast",\xff}\r'
    found = from_feed([line], OURS, "broadcast", NOW, SHARDS)
    assert found.forwarded == 1
    assert found.records[0].value == line
    assert found.records[0].key is None
    assert found.records[0].topic == "broadcast-events"


def test_an_empty_line_is_a_line() -> None:
    """Whatever a file holds, each line ends as an event or as a dead letter."""
    assert from_feed([b""], OURS, "broadcast", NOW, SHARDS).records[0].value == b""


def test_a_record_of_another_source_is_forwarded_to_the_partition_of_its_match() -> None:
    """There it becomes a dead letter `wrong_topic`, not `wrong_partition`."""
    line = encoded(a_post())
    found = from_feed([line], OURS, "broadcast", NOW, SHARDS)
    record = Outgoing("broadcast-events", partition_of(MATCH, SHARDS), MATCH.encode(), line)
    assert found.records == [record]


def test_a_line_too_long_for_kafka_is_cut_and_stays_too_long_for_a_record() -> None:
    record = forwarded(b"x" * 3_000_000, "social", SHARDS, None)
    assert len(record.value) == LONGEST_FORWARDED_BYTES
    refused = parse(record.value)
    assert isinstance(refused, Rejection)
    assert refused.reason == "oversized"


class CarelessMapper:
    """A vendor's mapper with the bugs that one could have."""

    def __init__(self, match: str = MATCH) -> None:
        self._match = match

    def map(self, line: bytes) -> RawEvent:
        if line == b"crash":
            raise KeyError("team")
        if line == b"refuse":
            raise VendorFormatError("team", "is missing")
        # Nothing checks this: a struct takes what it is given.
        return BroadcastEvent(match=line.decode(), source_event_id="1", type="goal", occurred_at=NOW)


def test_a_bug_of_a_mapper_costs_its_line_and_is_told() -> None:
    found = from_feed([b"m-1", b"crash", b"m-1"], CarelessMapper(), "broadcast", NOW, SHARDS)
    assert [record.value for record in found.records][1] == b"crash"
    assert (found.forwarded, [type(error) for error in found.surprises]) == (1, [KeyError])


def test_a_refusal_of_a_mapper_is_no_surprise() -> None:
    found = from_feed([b"refuse"], CarelessMapper(), "broadcast", NOW, SHARDS)
    assert (found.forwarded, found.surprises) == (1, [])


def test_what_a_mapper_builds_must_pass_the_check_of_records() -> None:
    found = from_feed([b"", b"x" * 200, b"m-1"], CarelessMapper(), "broadcast", NOW, SHARDS)
    assert found.forwarded == 2
    assert parsed(found.records[2]).match == "m-1"


@given(lines=st.lists(st.one_of(st.binary(max_size=60), st.just(encoded(a_goal())))))
def test_every_line_becomes_one_record_in_order(lines: list[bytes]) -> None:
    found = from_feed(lines, OURS, "broadcast", NOW, SHARDS)
    assert len(found.records) == len(lines)
    for line, record in zip(lines, found.records, strict=True):
        good = line == encoded(a_goal())
        assert good or record.value == line
        assert 0 <= record.partition < SHARDS
