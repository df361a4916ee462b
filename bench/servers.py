"""What a measurement runs on: a throwaway installation on the stack that is up, or on one of its own."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from local import ownership, platform_parts
from local.installation import throwaway
from local.stack import running
from local.supervise import Supervisor
from local.watch import Watch
from settings import Settings

# Tests take the lower databases of the same Redis.
_REDIS_DATABASE = 15


def say(text: str) -> None:
    """Progress, on standard error: standard output is for the result."""
    sys.stderr.write(text + "\n")


def _ignore(_: Watch) -> None:
    """Nobody looks at a board while something is measured."""


@asynccontextmanager
async def servers(settings: Settings) -> AsyncIterator[None]:
    """Kafka, PostgreSQL and Redis: those that run in the data folder, or started for this call."""
    if ownership.holder(settings.data) is not None:
        yield
        return
    say("starting Kafka, PostgreSQL and Redis")
    async with running(settings, None, say, _ignore) as stack:
        await stack.start_servers()
        yield


@asynccontextmanager
async def platform(settings: Settings, lanes: int) -> AsyncIterator[None]:
    """The platform's processes on servers that run elsewhere, supervised as in a stack."""
    settings.data.mkdir(parents=True, exist_ok=True)
    supervisor = Supervisor(settings.data, _ignore)
    try:
        await supervisor.start(platform_parts.children(settings, lanes, servers=()))
        yield
    finally:
        await supervisor.stop()


@contextmanager
def installation(settings: Settings, shards: int = 8) -> Iterator[Settings]:
    """An empty installation with a database, topics and a Redis database of its own."""
    with tempfile.TemporaryDirectory(prefix="touchline-bench-") as folder:
        name = f"bench{os.getpid()}"
        with throwaway(settings, name, shards, _REDIS_DATABASE, Path(folder)) as made:
            yield made


async def finished(*arguments: str, environment: dict[str, str]) -> int:
    """Run a Python module to its end and return its exit code; what it prints goes to standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=environment, stdout=sys.stderr
    )
    return await process.wait()
