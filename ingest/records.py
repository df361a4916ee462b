"""From what came in to what goes to Kafka: stamped, addressed, or forwarded as it came. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec

from ingest.vendors import Mapper, VendorFormatError
from schemas import record_form
from schemas.partitioning import partition_of
from schemas.raw import TOPIC_OF_SOURCE, source_of
from schemas.validation import ReadRecord, Rejection, parse, read

# Half of what a topic takes (1 MB). Beyond the largest record by far, so a line
# that is cut here is a dead letter `oversized` all the same.
LONGEST_FORWARDED_BYTES = 512 * 1024
_STUB_BYTES = 500

_encode = msgspec.json.Encoder().encode


class Outgoing(NamedTuple):
    """A record for a raw topic; the topic's name is without the installation's prefix."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes


class Send(Protocol):
    """Write records to Kafka; return when all are acknowledged, else raise a DeliveryError.

    Returned are the indexes of records that their topic refuses for what they are, whoever sends them.
    """

    async def __call__(self, records: list[Outgoing]) -> Sequence[int]: ...


class FeedRecords(NamedTuple):
    """What some lines of a feed became."""

    records: list[Outgoing]
    forwarded: int  # of them: not good, forwarded as they came
    surprises: list[Exception]  # what a mapper raised though it must not


def stamped(found: ReadRecord, accepted_at: datetime, shards: int) -> Outgoing:
    """Address a good record by its match, with our stamp behind all that the source said."""
    event = found.event
    value = record_form.stamped(found.said, accepted_at)
    topic = TOPIC_OF_SOURCE[source_of(event)]
    return Outgoing(topic, partition_of(event.match, shards), event.match.encode(), value)


def forwarded(line: bytes, source: str, shards: int, match: str | None) -> Outgoing:
    """Address a line that is no good record: enrich makes a dead letter of it.

    Those of no known match share one partition of their feed, so that a flood
    of them stays away from the others.
    """
    return Outgoing(
        TOPIC_OF_SOURCE[source],
        partition_of(source if match is None else match, shards),
        None if match is None else match.encode(),
        line[:LONGEST_FORWARDED_BYTES],
    )


def stub_of(record: Outgoing) -> Outgoing:
    """The beginning of a record that its topic refuses: no JSON any more, so it becomes a dead letter."""
    return record._replace(value=record.value[: min(_STUB_BYTES, len(record.value) // 2)])


def from_feed(
    lines: Iterable[bytes], mapper: Mapper, source: str, accepted_at: datetime, shards: int
) -> FeedRecords:
    """One record for each line of a feed, in order; nothing is dropped."""
    records: list[Outgoing] = []
    surprises: list[Exception] = []
    bad = 0
    for line in lines:
        try:
            record = _good(line, mapper, source, accepted_at, shards)
        except VendorFormatError:
            record = None
        except Exception as error:  # noqa: BLE001 - a bug of the mapper may cost its line, never the feed
            surprises.append(error)
            record = None
        if record is None:
            bad += 1
            # A line that names its match is a dead letter of that match.
            record = forwarded(line, source, shards, parse(line).match)
        records.append(record)
    return FeedRecords(records, bad, surprises)


def _good(line: bytes, mapper: Mapper, source: str, accepted_at: datetime, shards: int) -> Outgoing | None:
    mapped = mapper.map(line)
    # A mapper builds records without the checks of the decoder, and what it
    # built must pass where it is read. Ours has read it, unknown fields included.
    found = mapped if isinstance(mapped, ReadRecord) else read(_encode(mapped))
    if isinstance(found, Rejection) or source_of(found.event) != source:
        return None
    return stamped(found, accepted_at, shards)
