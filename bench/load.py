"""Records to measure with: a seeded mix of readings, posts and incidents over many matches."""

import itertools
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple

from confluent_kafka import Producer

from schemas.partitioning import partition_of
from schemas.raw import (
    TOPIC_OF_SOURCE,
    BroadcastBody,
    BroadcastEvent,
    RawEvent,
    SensorBody,
    SensorEvent,
    SocialBody,
    SocialEvent,
    source_of,
)
from schemas.record_form import form_of_ours, stamped

MATCHES = 64
EVEN_OVER = 8  # partitions of a local stack
_TYPES = ("pass",) * 94 + ("shot",) * 4 + ("yellow_card", "goal")
_POST = "What a start, the wings are wide open and the keeper has had to come out twice already"


class Produced(NamedTuple):
    """How many records went to Kafka, and how many of them are distinct."""

    records: int
    distinct: int


def records(
    count: int, seed: int, first: datetime, spacing: timedelta, duplicates: float = 0.1
) -> Iterator[tuple[RawEvent, bool]]:
    """`count` records from `first` on, and whether each is new; a repeat is of one of the last 400."""
    chance = random.Random(seed)
    recent: list[RawEvent] = []
    numbers = [0] * MATCHES
    for index in range(count):
        if recent and chance.random() < duplicates:
            yield chance.choice(recent), False
            continue
        match = chance.randrange(MATCHES)
        numbers[match] += 1
        event = _event(chance, seed, match, numbers[match], first + index * spacing)
        if len(recent) < 400:
            recent.append(event)
        else:
            recent[chance.randrange(400)] = event
        yield event, True


@cache
def match_name(number: int, seed: int = 0) -> str:
    """The id of a match of a load, on partition `number` modulo EVEN_OVER: lanes get equal shares.

    64 ids as they come left one of two lanes with 58% of the records, and its tail was measured.
    """
    names = (f"bench-{seed}-{number:02d}-{attempt}" for attempt in itertools.count())
    return next(name for name in names if partition_of(name, EVEN_OVER) == number % EVEN_OVER)


def readings(seed: int) -> Iterator[Callable[[datetime], SensorEvent]]:
    """Sensor readings without end, each to be stamped when it is sent."""
    for number in itertools.count():
        match = number % MATCHES

        def stamped(at: datetime, match: int = match, number: int = number) -> SensorEvent:
            body = SensorBody(
                sensor=f"tag-{match}-{number % 22}", player=f"Player {number % 22}", x=52.5, y=34.0
            )
            return SensorEvent(
                match=match_name(match),
                source_event_id=f"{seed}-{number:09d}",
                type="position",
                occurred_at=at,
                body=body,
            )

        yield stamped


def _event(chance: random.Random, seed: int, match: int, number: int, at: datetime) -> RawEvent:
    name, id_ = match_name(match, seed), f"{seed}-{match:02d}-{number:07d}"
    kind = chance.randrange(3)
    x, y = round(chance.random() * 105, 2), round(chance.random() * 68, 2)
    if kind == 0:
        body = SensorBody(sensor=f"tag-{match}-{number % 22}", player=f"Player {number % 22}", x=x, y=y)
        return SensorEvent(match=name, source_event_id=id_, type="position", occurred_at=at, body=body)
    if kind == 1:
        post = SocialBody(author=f"fan{number % 977}", text=f"{_POST} {number}", language="en")
        return SocialEvent(match=name, source_event_id=id_, type="post", occurred_at=at, body=post)
    type_ = chance.choice(_TYPES)
    if type_ in ("goal", "yellow_card") and number % 50:
        type_ = "pass"  # a match has a few, not hundreds: the image must stay like a real one
    incident = BroadcastBody(
        side="home" if chance.random() < 0.5 else "away",
        period=1 + number % 2,
        clock=number % 5400,
        player=f"Player {number % 22}",
        x=x,
        y=y,
    )
    return BroadcastEvent(match=name, source_event_id=id_, type=type_, occurred_at=at, body=incident)


def preload(
    bootstrap: str, prefix: str, shards: int, count: int, seed: int, duplicates: float = 0.1
) -> Produced:
    """Fill the raw topics with records as ingest writes them; returns after the last acknowledgement.

    In their one form and with our stamp: a lane decodes another spelling more slowly.
    """
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 20,
            "batch.size": 262_144,
            "queue.buffering.max.messages": 400_000,
        }
    )
    first = datetime.now(UTC) - timedelta(minutes=30)
    distinct = 0
    for event, is_new in records(count, seed, first, timedelta(microseconds=100), duplicates):
        distinct += is_new
        topic = prefix + TOPIC_OF_SOURCE[source_of(event)]
        partition = partition_of(event.match, shards)
        while True:
            try:
                producer.produce(topic, _as_ingested(event, first), event.match.encode(), partition)
                break
            except BufferError:
                producer.poll(0.05)
    producer.flush()
    return Produced(count, distinct)


def _as_ingested(event: RawEvent, at: datetime) -> bytes:
    return stamped(form_of_ours(event), at)
