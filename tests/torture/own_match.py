"""A match that one action, or one test, sends to alone, so that it knows all that the log must have of it."""

import asyncio
from datetime import UTC, datetime
from typing import NamedTuple

import psycopg

from recovery.deadletters.sending import RawProducer
from schemas.control import PARK, ControlRecord, Kind
from schemas.letters import Origin
from settings import Settings
from storage.parking import OPEN, PARKED, obeyed
from tests.torture.checker import LETTERS, LOST, ORDER, STANDS, Violation
from tests.torture.load import Sender, a_pass, a_reading

_STANDING = """
SELECT
    coalesce(
        (SELECT c.state FROM controls AS c WHERE c.match = %(match)s ORDER BY c.control DESC LIMIT 1),
        'open'
    ),
    (SELECT count(*) FROM events AS e WHERE e.match = %(match)s),
    (SELECT count(*) FROM parked AS p WHERE p.match = %(match)s),
    (SELECT count(*) FROM dead_letters AS l WHERE l.record_key = convert_to(%(match)s, 'UTF8'))
"""
_IDS = "SELECT payload -> 'event' ->> 'source_event_id' FROM events WHERE match = %s ORDER BY seq"


class Standing(NamedTuple):
    """How a match stands in the log."""

    state: str
    events: int
    parked: int
    letters: int


class OwnMatch:
    """A match, and what was sent to it and acknowledged."""

    def __init__(self, settings: Settings, sender: Sender, name: str, topics: int = 1) -> None:
        """Its events are of one topic, or of two in turn."""
        self.name = name
        self.events = 0
        self.letters = 0
        self.state = OPEN  # as a lane said that it stands
        self._settings = settings
        self._sender = sender
        self._topics = topics

    async def say(self, events: int) -> None:
        """Send events, and wait until Kafka has them."""
        for _ in range(events):
            self.events += 1
            make = a_pass if self._topics > 1 and self.events % 2 else a_reading
            await self._sender.acknowledge(self._sender.send(make(self.name, make.__name__, self.events)))

    async def say_malformed(self) -> None:
        """Send bytes that are no record, and wait until Kafka has them."""
        self.letters += 1
        value = f'{{"source": "sensors", "match": "{self.name}", "number": {self.letters}}}'.encode()
        await self._sender.acknowledge(self._sender.send_malformed(self.name, value))

    async def tell(self, kind: Kind) -> Origin:
        """Tell the lane, as `deadletters park` and `release` do; it stands by the answer, see `is_obeyed`."""
        self.state = PARKED if kind == PARK else OPEN
        record = ControlRecord(
            type=kind, match=self.name, issued_at=datetime.now(UTC), issued_by="torture", because="torture"
        )
        producer = RawProducer(self._settings.kafka, self._settings.topic_prefix)
        return await asyncio.to_thread(producer.tell, record, self._settings.shards)

    def is_obeyed(self, told: Origin) -> bool:
        """Whether a lane has answered, which is what the command waits for."""
        with psycopg.connect(self._settings.postgres) as connection:
            return obeyed(connection, told) is not None

    def standing(self) -> Standing:
        with psycopg.connect(self._settings.postgres) as connection:
            row = connection.execute(_STANDING, {"match": self.name}).fetchone()
            assert row is not None
            return Standing(*row)

    def broken(self) -> list[Violation]:
        """Which promises do not hold, while nothing of it is under way."""
        now = self.standing()
        found: list[Violation] = []
        if now.state != self.state:
            detail = f"{self.name} was told to be {self.state}, and is {now.state}"
            found.append(Violation(STANDS, detail))
        if now.events + now.parked != self.events:
            detail = (
                f"of {self.events} events of {self.name} {now.events} are in the log and {now.parked} wait"
            )
            found.append(Violation(LOST, detail))
        if now.letters != self.letters:
            detail = f"of {self.letters} letters of {self.name} there are {now.letters}"
            found.append(Violation(LETTERS, detail))
        return found + self._disorder()

    def _disorder(self) -> list[Violation]:
        """Those of one topic come as they were sent."""
        with psycopg.connect(self._settings.postgres) as connection:
            ids = [str(row[0]).rpartition("-") for row in connection.execute(_IDS, (self.name,))]
        found: list[Violation] = []
        for topic in sorted({name for name, _, _ in ids}):
            numbers = [int(number) for name, _, number in ids if name == topic]
            if numbers != sorted(numbers):
                found.append(Violation(ORDER, f"{self.name}, {topic}: {numbers}"))
        return found
