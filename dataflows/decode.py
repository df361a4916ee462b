"""Step `decode`: bytes become events or dead letters, in place and in order. Pure."""

from collections.abc import Callable

from schemas import letters
from schemas.batch import Event, EventBatch, RawBatch
from schemas.identity import body_hash, key_of
from schemas.letters import DeadLetter, Origin
from schemas.partitioning import partition_of
from schemas.raw import RAW_TOPICS, source_of
from schemas.validation import Rejection, parse


def decoder(partitions: int) -> Callable[[RawBatch], EventBatch]:
    """The step for an installation of so many partitions."""

    def decode(batch: RawBatch) -> EventBatch:
        return decode_batch(batch, partitions)

    return decode


def decode_batch(batch: RawBatch, partitions: int) -> EventBatch:
    """Decode every record of a batch; nothing is dropped and nothing changes places."""
    topic, partition = batch.topic, batch.partition
    source = RAW_TOPICS[topic]
    entries: list[Event | DeadLetter] = []
    for offset, key, value in batch.records:
        parsed = parse(value)
        if isinstance(parsed, Rejection):
            refusal = parsed
        elif source_of(parsed) != source:
            detail = f"{topic} carries records of {source}, this one is of {source_of(parsed)}"
            refusal = Rejection(letters.WRONG_TOPIC, detail, parsed.match)
        elif partition_of(parsed.match, partitions) != partition:
            home = partition_of(parsed.match, partitions)
            detail = f"match {parsed.match} belongs to partition {home} of {partitions}, not to {partition}"
            refusal = Rejection(letters.WRONG_PARTITION, detail, parsed.match)
        else:
            assert value is not None
            entries.append(Event(key_of(parsed), body_hash(parsed), parsed, offset, value))
            continue
        entries.append(
            DeadLetter(
                refusal.reason,
                refusal.detail,
                Origin(topic, partition, offset),
                key,
                value or b"",
                refusal.match,
            )
        )
    return EventBatch(topic, partition, entries, batch.records[-1][0] + 1)
