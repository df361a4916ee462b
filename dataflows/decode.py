"""Step `decode`: bytes become events or dead letters, in place and in order. Pure."""

from collections.abc import Callable

from schemas import letters
from schemas.batch import Event, EventBatch, RawBatch
from schemas.identity import encode_record, hash_record, key_of
from schemas.letters import DeadLetter, Origin
from schemas.partitioning import partition_of
from schemas.raw import KIND_OF_TOPIC, RAW_TOPICS, RawEvent, source_of
from schemas.validation import Rejection, parse


def decoder(partitions: int) -> Callable[[RawBatch], EventBatch]:
    """The step for an installation of so many partitions."""

    def decode(batch: RawBatch) -> EventBatch:
        return decode_batch(batch, partitions)

    return decode


def decode_batch(batch: RawBatch, partitions: int) -> EventBatch:
    """Decode every record of a batch; nothing is dropped and nothing changes places."""
    topic, partition = batch.topic, batch.partition
    kind = KIND_OF_TOPIC[topic]
    at_home: set[str] = set()  # matches found to belong here: checked once a batch, not once a record
    entries: list[Event | DeadLetter] = []
    for offset, key, value in batch.records:
        parsed = parse(value)
        if not isinstance(parsed, Rejection):
            if type(parsed) is kind and parsed.match in at_home:
                refusal = None
            elif (refusal := _misplaced(parsed, topic, partition, partitions)) is None:
                at_home.add(parsed.match)
            if refusal is None:
                entries.append(event_of(parsed, offset, value or b""))
                continue
            parsed = refusal
        origin = Origin(topic, partition, offset)
        entries.append(DeadLetter(parsed.reason, parsed.detail, origin, key, value or b"", parsed.match))
    return EventBatch(topic, partition, entries, batch.records[-1][0] + 1)


def event_of(raw: RawEvent, offset: int, value: bytes) -> Event:
    """A record with its identity; `offset` and `value` as read."""
    record = encode_record(raw)
    happened = raw.occurred_at.timestamp()
    return Event(key_of(raw), hash_record(record), raw, offset, value, happened, record)


def _misplaced(event: RawEvent, topic: str, partition: int, partitions: int) -> Rejection | None:
    """Refuse what lies on a topic of another source, or on a partition of another match."""
    if type(event) is not KIND_OF_TOPIC[topic]:
        detail = f"{topic} carries records of {RAW_TOPICS[topic]}, this one is of {source_of(event)}"
        return Rejection(letters.WRONG_TOPIC, detail, event.match)
    home = partition_of(event.match, partitions)
    if home != partition:
        detail = f"match {event.match} belongs to partition {home} of {partitions}, not to {partition}"
        return Rejection(letters.WRONG_PARTITION, detail, event.match)
    return None
