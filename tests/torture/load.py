"""The load of a run: a match day, and a pulse on every shard that notes what was acknowledged."""

import asyncio
import time
from asyncio.subprocess import Process
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from local import platform_parts
from local.simulator.ledger_entries import End, Entry, Record
from local.spawn import spawn
from schemas.partitioning import partition_of
from schemas.raw import TOPIC_OF_SOURCE, SensorBody, SensorEvent, source_of
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


class Pulse:
    """Sends one record to every shard ten times a second, straight into Kafka.

    Delivery: each record once; what is not acknowledged is sent again by the
    client until it is.
    """

    def __init__(self, settings: Settings) -> None:
        self.matches = pulse_matches(settings.shards)
        self.number = 0  # of the last beat
        self.acknowledged: list[Record] = []
        self._settings = settings
        self._task: asyncio.Task[None] | None = None
        self._producer: Any = Producer(
            {
                "bootstrap.servers": settings.kafka,
                "enable.idempotence": True,
                "message.timeout.ms": 0,  # for ever
                "log_level": 0,
                "error_cb": _no_news,
            }
        )

    def start(self) -> None:
        self._task = asyncio.create_task(self._beat())

    async def stop(self) -> None:
        """End, and wait until all was acknowledged; raise LoadFailedError."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        left = await asyncio.to_thread(self._producer.flush, _FLUSH_SECONDS)
        if left:
            raise LoadFailedError(f"{left} records of the pulse were never acknowledged by Kafka")

    async def _beat(self) -> None:
        while True:
            self.number += 1
            for shard, match in self.matches.items():
                self._send(shard, match)
            self._producer.poll(0)
            await asyncio.sleep(_BEATS_EVERY_SECONDS)

    def _send(self, shard: int, match: str) -> None:
        event = SensorEvent(
            match=match,
            source_event_id=f"beat-{self.number}",
            type="heart_rate",
            occurred_at=datetime.now(UTC),
            body=SensorBody(sensor="pulse", player="pulse", heart_rate=60 + self.number % 100),
        )
        source = source_of(event)
        sent = Record(match, source, event.source_event_id, event.revision)
        self._producer.produce(
            self._settings.topic_prefix + TOPIC_OF_SOURCE[source],
            msgspec.json.encode(event),
            match.encode(),
            shard,
            on_delivery=partial(self._note, sent),
        )

    def _note(self, sent: Record, error: KafkaError | None, _: Message) -> None:
        if error is None:
            self.acknowledged.append(sent)


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
            self._process.terminate()
            await self._process.wait()

    def matches(self) -> set[str]:
        """The matches that were played so far."""
        return {entry.match for entry in self.entries() if isinstance(entry, Record)}

    def entries(self) -> list[Entry]:
        content = self.ledger.read_bytes() if self.ledger.exists() else b""
        return [_decode(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]


def write_ledger(path: Path, day: list[Entry], pulse: list[Record]) -> int:
    """One ledger of both, which the audit understands; return how many records were acknowledged."""
    ends = [entry for entry in day if isinstance(entry, End)]
    if not ends:
        raise LoadFailedError("the simulator's ledger does not say that everything was taken")
    entries: list[Entry] = [entry for entry in day if not isinstance(entry, End)]
    end = msgspec.structs.replace(ends[0], records=ends[0].records + len(pulse))
    lines = [msgspec.json.encode(entry) for entry in (*entries, *pulse, end)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return end.records
