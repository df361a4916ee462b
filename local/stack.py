"""The local stack: servers, then topics and tables, then the platform's processes."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from msgspec.structs import replace

from local import ownership, page_libraries, platform_parts
from local.child import Child
from local.installation import prepare
from local.ports import check_free
from local.servers import kafka, postgres, redis
from local.servers.jars import Say
from local.supervise import Supervisor
from local.watch import Watch
from settings import Settings

# A new data folder takes 150 MB (write-ahead log, internal topics); below
# this, servers fail half-way with errors that do not say "disk".
LEAST_FREE_BYTES = 1024 * 1024 * 1024


class DiskFullError(RuntimeError):
    """Too little room for the servers' data."""

    def __init__(self, settings: Settings, free: int) -> None:
        super().__init__(
            f"only {free // 2**20} MB free in {settings.data}, the servers need 1 GB. Make room, or point"
            " TOUCHLINE_DATA to a folder on another disk."
        )
        self.free = free


def server_children(settings: Settings, brokers: int, say: Say) -> list[Child]:
    """Describe the servers of the stack; downloads what is missing."""
    brokers_first = kafka.children(settings, brokers, say)
    return [*brokers_first, postgres.child(settings), redis.child(settings)]


@asynccontextmanager
async def running(
    settings: Settings, brokers: int | None, say: Say, on_change: Callable[[Watch], None]
) -> AsyncIterator["Stack"]:
    """Hold the data folder and run what is started in it; stop all at the end.

    Raises AlreadyRunningError, NotOursError, BrokerCountError, DiskFullError; what is started raises its own.
    """
    lock = ownership.acquire(settings.data)
    try:
        orphans = await asyncio.to_thread(ownership.end_orphans, settings.data)
        if orphans:
            say(f"stopped what a killed supervisor had left running: {', '.join(orphans)}")
        free = shutil.disk_usage(settings.data).free
        if free < LEAST_FREE_BYTES:
            raise DiskFullError(settings, free)
        count = kafka.broker_count(settings.data, brokers)
        stack = Stack(settings, count, say, on_change)
        try:
            yield stack
        finally:
            await stack.supervisor.stop()
    finally:
        os.close(lock)


class Stack:
    """A stack that this process runs."""

    def __init__(
        self, settings: Settings, brokers: int, say: Say, on_change: Callable[[Watch], None]
    ) -> None:
        self.settings = replace(settings, kafka=kafka.bootstrap_servers(settings, brokers))
        self.supervisor = Supervisor(settings.data, on_change)
        self._brokers = brokers
        self._say = say

    async def start_servers(self) -> None:
        """Start the servers, and make topics and tables; return when all is there."""
        children = await asyncio.to_thread(server_children, self.settings, self._brokers, self._say)
        check_free(children)
        self._servers = tuple(child.name for child in children)
        await self.supervisor.start(children)
        await asyncio.to_thread(prepare, self.settings, self._brokers)

    async def start_only(self, names: Sequence[str]) -> None:
        """Start some of the servers, and make nothing in them."""
        children: list[Child] = []
        if "kafka" in names:
            children += await asyncio.to_thread(kafka.children, self.settings, self._brokers, self._say)
        if "postgres" in names:
            children.append(postgres.child(self.settings))
        if "redis" in names:
            children.append(redis.child(self.settings))
        await self.start(children)

    async def start_platform(self, lanes: int, is_guarded: bool = False) -> None:
        """Start ingest, enrich, deliver, gateway and api; return when they are ready.

        `is_guarded` keeps PostgreSQL's log and base backups, and audits all the
        time: to play with the platform or to measure it nobody needs that.
        """
        await asyncio.to_thread(page_libraries.install, self._say)
        children = platform_parts.children(self.settings, lanes, self._servers)
        if is_guarded:
            children.append(platform_parts.archive(self.settings, self._servers))
            children.append(platform_parts.audit(self.settings, self._servers))
        await self.start(children)

    async def start(self, children: list[Child]) -> None:
        check_free(children)
        await self.supervisor.start(children)
