"""Step `decode`: bytes become events, dead letters or controls, in place and in order. Pure."""

from collections.abc import Callable

from schemas import letters
from schemas.batch import Control, Entry, EventBatch, RawBatch, event_of
from schemas.control import CONTROL_TOPIC, parse_control
from schemas.letters import DeadLetter, Origin
from schemas.partitioning import partition_of
from schemas.raw import KIND_OF_TOPIC, RAW_TOPICS, RawEvent, source_of
from schemas.validation import Rejection, read


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
    entries: list[Entry] = []
    for offset, key, value in batch.records:
        found = read(value)
        if not isinstance(found, Rejection):
            event = found.event
            if type(event) is kind and event.match in at_home:
                refusal = None
            elif (refusal := _misplaced(event, topic, partition, partitions)) is None:
                at_home.add(event.match)
            if refusal is None:
                entries.append(event_of(found, offset, value or b""))
                continue
            found = refusal
        origin = Origin(topic, partition, offset)
        if topic == CONTROL_TOPIC and (control := control_of(value, origin, partitions)) is not None:
            entries.append(control)
            continue
        entries.append(DeadLetter(found.reason, found.detail, origin, key, value or b"", found.match))
    return EventBatch(topic, partition, entries, batch.records[-1][0] + 1)


def control_of(value: bytes | None, origin: Origin, partitions: int) -> Control | None:
    """A control record where it belongs; None for anything else."""
    record = parse_control(value)
    if record is None or partition_of(record.match, partitions) != origin.partition:
        return None
    return Control(record, origin)


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
