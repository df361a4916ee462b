"""The platform to replay on: the one that runs here, or one that is started for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from local import ownership, platform_parts
from local.child import State
from local.display import Board
from local.ownership import Record
from local.ports import check_free
from local.stack import running
from local.supervise import Supervisor
from settings import Settings

PARTS = ("deliver", "gateway")  # beside the lanes: what a replay goes through
_LANE = "enrich-"


class UnusableStackError(RuntimeError):
    """A stack runs here that a replay cannot use; says what to do."""


class NoLaneError(RuntimeError):
    """No lane of enrich runs that could be killed."""


@dataclass(frozen=True)
class Ground:
    """A running platform and where its supervisor keeps its record."""

    settings: Settings
    records: Path

    def lane_of(self, shard: int) -> psutil.Process:
        """The process that writes a shard now; raise NoLaneError."""
        lanes = [record for record in ownership.read_record(self.records) if record.name.startswith(_LANE)]
        for record in lanes:
            if record.name == f"{_LANE}{shard % len(lanes)}" and record.pid and ownership.is_alive(record):
                return psutil.Process(record.pid)
        raise NoLaneError(f"no lane for shard {shard} runs")


@asynccontextmanager
async def ground(settings: Settings, board: Board) -> AsyncIterator[Ground]:
    """Hold a platform for as long as the replay takes.

    Started here: servers and platform, or the platform alone where only the
    servers run; what was started is stopped at the end, what was there stays.
    Raises UnusableStackError and what starting a stack raises.
    """
    platform_parts.check_modules()
    if ownership.holder(settings.data) is None:
        async with running(settings, None, board.say, board.changed) as stack:
            await stack.start_servers()
            await stack.start_platform(lanes=1)
            yield Ground(stack.settings, settings.data)
        return
    records = ownership.read_record(settings.data)
    if any(record.name in PARTS or record.name.startswith(_LANE) for record in records):
        _must_be_up(settings, records)
        board.say(f"using the platform that runs in {settings.data}")
        yield Ground(settings, settings.data)
        return
    board.say(f"using the servers that run in {settings.data}; starting the platform on them")
    async with platform_alone(settings, board) as records_of_ours:
        yield Ground(settings, records_of_ours)


@asynccontextmanager
async def platform_alone(settings: Settings, board: Board) -> AsyncIterator[Path]:
    """Run the platform on servers that somebody else runs; yields the folder of its supervisor's record."""
    folder = settings.data / "replay"
    (folder / "run").mkdir(parents=True, exist_ok=True)
    children = platform_parts.children(settings, 1, ())
    check_free(children)
    supervisor = Supervisor(folder, board.changed)
    try:
        await supervisor.start(children)
        yield folder
    finally:
        await supervisor.stop()


def _must_be_up(settings: Settings, records: list[Record]) -> None:
    up = {record.name for record in records if record.state == State.UP and ownership.is_alive(record)}
    missing = [name for name in PARTS if name not in up]
    if not any(name.startswith(_LANE) for name in up):
        missing.append(f"{_LANE}0")
    if missing:
        raise UnusableStackError(
            f"a stack runs in {settings.data}, but {', '.join(missing)} is not up in it. ./dev status says"
            " why; ./dev down stops it, and a replay starts what it needs."
        )
