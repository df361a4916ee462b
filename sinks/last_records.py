"""The last record of each partition: what is in Kafka already says where to go on."""

import time
from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

_ANSWER_WITHIN = timedelta(seconds=5)
# Of one partition: who leads none must not use up the time of the others.
_PARTITION_SECONDS = 1.0


class Partition(NamedTuple):
    """A partition of a topic, by the topic's full name."""

    topic: str
    number: int


class TopicsUnreadableError(RuntimeError):
    """Kafka did not say what the last records are."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class LastRecords(NamedTuple):
    """What partitions end with; those without records are in neither."""

    headers: dict[Partition, dict[str, bytes]]
    unreadable: dict[Partition, str]  # why


def look_at_ends(
    bootstrap: str, partitions: Iterable[Partition], within: timedelta = _ANSWER_WITHIN
) -> LastRecords:
    """What each partition ends with, as far as Kafka says; raise TopicsUnreadableError when it does not."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "touchline-deliver",  # asked for by the client; nothing is committed
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "error_cb": _ignore,  # a call that gets no answer says so itself
            "log_level": 2,
        }
    )
    try:
        found = _read(consumer, list(partitions), within)
    except KafkaException as error:
        raise TopicsUnreadableError(_text(error.args[0])) from error
    finally:
        consumer.close()
    return found


def _read(consumer: Consumer, partitions: list[Partition], within: timedelta) -> LastRecords:
    deadline = time.monotonic() + within.total_seconds()
    last: list[TopicPartition] = []
    found = LastRecords({}, _without_leader(consumer, partitions, within))
    for partition in partitions:
        if partition in found.unreadable:
            continue  # asked all the same, each would use up its second
        left = deadline - time.monotonic()
        if left <= 0:
            raise TopicsUnreadableError(f"no answer about {partition.topic} within {within}")
        try:
            low, high = consumer.get_watermark_offsets(
                TopicPartition(*partition), min(left, _PARTITION_SECONDS)
            )
        except KafkaException as error:
            found.unreadable[partition] = f"{partition.topic}[{partition.number}]: {_text(error.args[0])}"
            continue
        if high > low:
            last.append(TopicPartition(*partition, high - 1))
    if partitions and len(found.unreadable) == len(partitions):
        raise TopicsUnreadableError(found.unreadable[partitions[0]])
    consumer.assign(last)
    unread = {Partition(place.topic, place.partition) for place in last}
    while unread:
        if time.monotonic() > deadline:
            found.unreadable.update(dict.fromkeys(unread, f"no record within {within}"))
            break
        for message in consumer.consume(len(unread), 0.1):
            partition = Partition(str(message.topic()), int(message.partition() or 0))
            if not _is_end(message):
                found.headers[partition] = _headers(message)
            # An end without a record: the last offset holds none that can be read.
            unread.discard(partition)
    return found


def _without_leader(
    consumer: Consumer, partitions: list[Partition], within: timedelta
) -> dict[Partition, str]:
    """The partitions that are not there, or that nobody leads."""
    topics = consumer.list_topics(timeout=within.total_seconds()).topics
    leaders = {
        Partition(name, number): partition.leader
        for name, topic in topics.items()
        for number, partition in topic.partitions.items()
    }
    return {
        each: f"{each.topic}[{each.number}] has no leader" for each in partitions if leaders.get(each, -1) < 0
    }


def _is_end(message: Message) -> bool:
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:
        return True
    raise KafkaException(error)


def _headers(message: Message) -> dict[str, bytes]:
    pairs = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    return {name: value for name, value in pairs if value is not None}


def _ignore(_: KafkaError) -> None:
    pass


def _text(error: KafkaError) -> str:
    return str(error.str())
