"""The load of a run: a match day, and a pulse on every shard that notes what was acknowledged."""

import asyncio
import os
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from local import platform_parts
from local.simulator.ledger_entries import End, Entry, Malformed, Record
from local.spawn import spawn
from schemas.letters import Origin
from schemas.partitioning import partition_of
from schemas.raw import (
    TOPIC_OF_SOURCE,
    BroadcastBody,
    BroadcastEvent,
    RawEvent,
    SensorBody,
    SensorEvent,
    source_of,
)
from settings import Settings

MATCHES = 3
RECORDS_PER_SECOND = 120
TROUBLE = (
    ("--duplicates", "0.08"),
    ("--disorder", "0.1"),
    ("--late", "0.01"),
    ("--malformed", "0.01"),
    ("--conflicting", "0.005"),
    ("--corrections", "0.2"),
)
_BEATS_EVERY_SECONDS = 0.1
_POLLS_EVERY_SECONDS = 0.005
_FLUSH_SECONDS = 60.0
_decode = msgspec.json.Decoder(Entry).decode


class LoadFailedError(RuntimeError):
    """The load did not do its part, so the run says nothing."""


def pulse_matches(shards: int) -> dict[int, str]:
    """A match on each shard, for events whose way is timed."""
    names = (f"pulse-{number}" for number in range(10_000))
    found: dict[int, str] = {}
    for name in names:
        found.setdefault(partition_of(name, shards), name)
        if len(found) == shards:
            break
    return found


def a_reading(match: str, name: str, number: int) -> SensorEvent:
    """A record of the topic that is read last."""
    return SensorEvent(
        match=match,
        source_event_id=f"{name}-{number}",
        type="heart_rate",
        occurred_at=datetime.now(UTC),
        body=SensorBody(sensor="pulse", player="pulse", heart_rate=60 + number % 100),
    )


def a_pass(match: str, name: str, number: int) -> BroadcastEvent:
    """A record of the topic that is read first: after a loss it comes in front of readings it came behind."""
    return BroadcastEvent(
        match=match,
        source_event_id=f"{name}-{number}",
        type="pass",
        occurred_at=datetime.now(UTC),
        body=BroadcastBody(player="pulse"),
    )


class Sender:
    """Puts records straight into Kafka and notes what was acknowledged.

    Delivery: each record once; what is not acknowledged is sent again by the
    client until it is. Used from one thread.
    """

    def __init__(self, settings: Settings) -> None:
        self.acknowledged: list[Record | Malformed] = []
        self._settings = settings
        self._producer: Any = Producer(
            {
                "bootstrap.servers": settings.kafka,
                "enable.idempotence": True,
                "message.timeout.ms": 0,  # for ever
                "log_level": 0,
                "error_cb": _no_news,
            }
        )

    def send(self, event: RawEvent) -> "_Report":
        """Send an event to the partition of its match."""
        source = source_of(event)
        sent = Record(event.match, source, event.source_event_id, event.revision)
        return self._send(source, event.match, msgspec.json.encode(event), sent)

    def send_malformed(self, match: str, value: bytes) -> "_Report":
        """Send bytes that are no record, with the key of a match, where its readings go."""
        return self._send("sensors", match, value, Malformed(source="sensors", original=value))

    def _send(self, source: str, match: str, value: bytes, sent: Record | Malformed) -> "_Report":
        topic, shard = TOPIC_OF_SOURCE[source], partition_of(match, self._settings.shards)
        report = _Report(topic, shard)
        self._producer.produce(
            self._settings.topic_prefix + topic,
            value,
            match.encode(),
            shard,
            on_delivery=partial(self._note, sent, report),
        )
        return report

    def poll(self) -> None:
        """Take in what Kafka acknowledged by now."""
        self._producer.poll(0)

    async def acknowledge(self, report: "_Report") -> Origin:
        """Wait until Kafka has a record."""
        while report.origin is None:
            self.poll()
            await asyncio.sleep(_POLLS_EVERY_SECONDS)
        return report.origin

    async def finish(self) -> None:
        """Wait until all was acknowledged; raise LoadFailedError."""
        left = await asyncio.to_thread(self._producer.flush, _FLUSH_SECONDS)
        if left:
            raise LoadFailedError(f"{left} records of the pulse were never acknowledged by Kafka")

    def _note(
        self, sent: Record | Malformed, report: "_Report", error: KafkaError | None, message: Message
    ) -> None:
        offset = message.offset()
        if error is None and offset is not None:
            self.acknowledged.append(sent)
            report.origin = Origin(report.topic, report.partition, offset)


class _Report:
    """Where a record is, once Kafka says so."""

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.origin: Origin | None = None


class Pulse:
    """Sends a reading and a pass to every shard ten times a second, in turn the one and the other first."""

    def __init__(self, shards: int, sender: Sender) -> None:
        self.matches = pulse_matches(shards)
        self.number = 0  # of the last beat
        self.quiet: set[int] = set()  # shards that get none
        self._sender = sender
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._beat())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            self.number += 1
            for shard, match in self.matches.items():
                if shard not in self.quiet:
                    self._send(match)
            self._sender.poll()
            await asyncio.sleep(_BEATS_EVERY_SECONDS)

    def _send(self, match: str) -> None:
        both: list[RawEvent] = [a_reading(match, "beat", self.number), a_pass(match, "pass", self.number)]
        for event in both if self.number % 2 else reversed(both):
            self._sender.send(event)


def _no_news(_: KafkaError) -> None:
    """A broker that is down is what this is about."""


class MatchDay:
    """The simulator as a process, and its ledger."""

    def __init__(self, settings: Settings, folder: Path, seed: int, seconds: float) -> None:
        self.ledger = folder / "ledger.jsonl"
        self._log = folder / "simulator.log"
        self._seconds = seconds
        trouble = [word for option in TROUBLE for word in option]
        day = ["--seed", str(seed), "--matches", str(MATCHES), "--seconds", str(round(seconds))]
        rate = ["--rate", str(RECORDS_PER_SECOND), *trouble, "--ledger", str(self.ledger)]
        self._child = platform_parts.simulator(settings, (*day, *rate))
        self._process: Process | None = None
        self._ends_at = 0.0  # monotonic

    async def start(self) -> None:
        self._process = await spawn(self._child, self._log)
        self._ends_at = time.monotonic() + self._seconds

    async def finish(self, within: timedelta) -> None:
        """Wait for the day's end, and after it until everything was taken; raise LoadFailedError."""
        assert self._process is not None
        left = max(0.0, self._ends_at - time.monotonic())
        try:
            code = await asyncio.wait_for(self._process.wait(), left + within.total_seconds())
        except TimeoutError:
            raise LoadFailedError(
                f"the match day was not taken within {within} after its end; see {self._log}"
            ) from None
        if code != 0:
            raise LoadFailedError(f"the simulator ended with {code}; see {self._log}")

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self.signal(signal.SIGCONT)
            self._process.terminate()
            await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Let the simulator stand still, or go on."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def matches(self) -> set[str]:
        """The matches that were played so far."""
        return {entry.match for entry in self.entries() if isinstance(entry, Record)}

    def entries(self) -> list[Entry]:
        content = self.ledger.read_bytes() if self.ledger.exists() else b""
        return [_decode(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]


class Load:
    """All that a run sends: its match day, the pulse, and what an action sends by itself."""

    def __init__(self, settings: Settings, day: MatchDay) -> None:
        self.day = day
        self.sender = Sender(settings)
        self.pulse = Pulse(settings.shards, self.sender)
        self.own_matches: list[str] = []  # of actions
        self._shards = settings.shards
        self._numbers = count(1)

    async def start(self) -> None:
        await self.day.start()
        self.pulse.start()

    async def stop(self) -> None:
        await self.pulse.stop()
        await self.day.stop()

    def new_match(self, shard: int) -> str:
        """A match that nobody else sends to."""
        names = (f"own-{number}" for number in self._numbers)
        match = next(name for name in names if partition_of(name, self._shards) == shard)
        self.own_matches.append(match)
        return match

    @contextmanager
    def silenced(self, shards: Collection[int]) -> Iterator[None]:
        """Send nothing to some shards; the match day, which may have a match in any, stands still."""
        self.day.signal(signal.SIGSTOP)
        self.pulse.quiet |= set(shards)
        try:
            yield
        finally:
            self.pulse.quiet -= set(shards)
            self.day.signal(signal.SIGCONT)

    def matches(self) -> set[str]:
        """What a fan may follow by now."""
        return {*self.day.matches(), *self.pulse.matches.values(), *self.own_matches}


def write_ledger(path: Path, day: list[Entry], sent: Sequence[Record | Malformed]) -> int:
    """One ledger of the day and of what was sent beside it; return how many records were acknowledged."""
    ends = [entry for entry in day if isinstance(entry, End)]
    if not ends:
        raise LoadFailedError("the simulator's ledger does not say that everything was taken")
    entries: list[Entry] = [entry for entry in day if not isinstance(entry, End)]
    malformed = sum(isinstance(entry, Malformed) for entry in sent)
    end = msgspec.structs.replace(
        ends[0],
        records=ends[0].records + len(sent) - malformed,
        malformed=ends[0].malformed + malformed,
    )
    lines = [msgspec.json.encode(entry) for entry in (*entries, *sent, end)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return end.records
