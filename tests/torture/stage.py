"""A small installation for negative controls: its lanes and relays may be sabotaged."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, cast

import msgspec
import psycopg
from msgspec.structs import replace
from redis import Redis

from local.environment import environment_of
from recovery.audit.meter import Silence
from recovery.audit.run import Asked, run_audit
from schemas.partitioning import partition_of
from schemas.raw import RawEvent
from settings import ROOT, Settings
from storage.streams import stream_name
from tests.builders_log import LogBuilder, Record
from tests.event_builders import MATCH
from tests.torture.checker import Violation, violations_of
from tests.torture.rig import environment_under_torture

SETTLES_WITHIN = timedelta(seconds=60)
_SOON_SECONDS = 40.0
_LOOKS_EVERY_SECONDS = 0.02


class Stage:
    """One shard's log with a hand on every part of it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.shard = partition_of(MATCH, settings.shards)
        self.database = psycopg.connect(settings.postgres, autocommit=True)
        self.redis = Redis.from_url(settings.redis)
        self.processes: list[Process] = []
        self.violations: list[Violation] = []
        self._builder = LogBuilder(settings)
        self._logs: list[IO[bytes]] = []

    async def lane(self, sabotage: str = "", *, store: str = "store", postgres_port: int = 0) -> Process:
        """Start a lane of all shards."""
        settings = self.settings
        if postgres_port:
            through = settings.postgres.replace(f":{settings.port('postgres')}/", f":{postgres_port}/")
            settings = replace(settings, postgres=through)
        recovery = ("-r", str(self.settings.data / store), "-s", "1", "-b", "0")
        return await self._start(settings, "enrich", sabotage, recovery)

    async def relay(self, sabotage: str = "") -> Process:
        return await self._start(self.settings, "deliver", sabotage, ())

    async def _start(
        self, settings: Settings, part: str, sabotage: str, arguments: tuple[str, ...]
    ) -> Process:
        folder = self.settings.data
        folder.mkdir(parents=True, exist_ok=True)
        self._logs.append((folder / f"{part}-{len(self._logs)}.log").open("ab"))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bytewax.run", f"dataflows.{part}", *arguments),
            cwd=ROOT,
            env={
                **environment_of(settings),
                **environment_under_torture(folder, part, sabotage),
                "PATH": os.environ["PATH"],
            },
            stdout=self._logs[-1],
            stderr=self._logs[-1],
        )
        self.processes.append(process)
        return process

    def said(self) -> str:
        """What the processes wrote."""
        return "\n".join(Path(log.name).read_text() for log in self._logs)

    async def say(self, *events: RawEvent) -> None:
        """Put events into Kafka."""
        await asyncio.to_thread(self._builder.produce, [Record(event) for event in events])

    def log_length(self) -> int:
        row = self.database.execute("SELECT count(*) FROM events").fetchone()
        assert row is not None
        return int(row[0])

    def stream(self) -> str:
        row = self.database.execute(
            "SELECT generation FROM delivery_shards WHERE shard = %s", (self.shard,)
        ).fetchone()
        return stream_name(self.shard, row[0] if row else 0)

    def stream_top(self) -> int:
        """The last position in the shard's stream, 0 without one."""
        top = cast("list[tuple[bytes, object]]", self.redis.xrevrange(self.stream(), count=1))
        return int(top[0][0].partition(b"-")[0]) if top else 0

    async def until(self, predicate: Callable[[], bool], seconds: float = _SOON_SECONDS) -> None:
        """Wait for something; fail with what the processes said."""
        if not await self.comes(predicate, seconds):
            raise AssertionError(f"not within {seconds:g} s: {predicate.__qualname__}\n{self.said()}")

    async def comes(self, predicate: Callable[[], bool], seconds: float) -> bool:
        """Whether something becomes true in time."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        while not predicate():
            if clock() > deadline:
                return False
            await asyncio.sleep(_LOOKS_EVERY_SECONDS)
        return True

    async def holds(self, events: int) -> None:
        """Wait until the log has so many events."""
        await self.until(lambda: self.log_length() >= events)

    async def broken(self, within: timedelta | None = SETTLES_WITHIN, *, outlets: bool = False) -> set[str]:
        """The checker's verdict: the promises that broke; without `within`, of what is there now."""
        asked = Asked(settle=within, outlets=outlets)
        receipt = await asyncio.to_thread(run_audit, self.settings, asked, Silence())
        self.violations += violations_of(msgspec.to_builtins(receipt))
        return {violation.promise for violation in self.violations}

    async def close(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            await process.wait()
        self.database.close()
        self.redis.close()
        for log in self._logs:
            log.close()


@asynccontextmanager
async def set_up(settings: Settings) -> AsyncIterator[Stage]:
    stage = Stage(settings)
    try:
        yield stage
    finally:
        await stage.close()
