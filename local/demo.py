"""Play a match day on the local stack: open-ended to watch, or checked to the last event."""

import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import msgspec

from local import ownership, platform_parts
from local.child import Child, State
from local.display import Board
from local.environment import environment_of, inherited
from local.ports import check_free
from local.spawn import last_lines, spawn
from local.stack import running
from settings import ROOT, Settings

PLATFORM = {"ingest", "deliver", "gateway", "api", "enrich-0"}
# What goes wrong on the way of a real feed, as shares of all records.
TROUBLE = (
    ("--duplicates", "0.05"),
    ("--disorder", "0.1"),
    ("--late", "0.01"),
    ("--malformed", "0.01"),
    ("--conflicting", "0.005"),
    ("--corrections", "0.2"),
)
MATCHES = 4
RECORDS_PER_SECOND = 300
# After its last record the simulator waits until every feed was read; killed
# parts need their seconds to come back meanwhile.
READ_WITHIN = timedelta(seconds=90)
SETTLES_WITHIN = "60s"


class DemoFailedError(RuntimeError):
    """The demo could not be played to its end; says what to do."""


async def check(settings: Settings, board: Board, seconds: timedelta, seed: int, lanes: int) -> int:
    """Play a match day of `seconds`, audit it, and return the audit's exit code."""
    platform_parts.check_modules()
    ledger = _new_ledger(settings, seed)
    async with _platform(settings, board, lanes):
        board.say(
            f"playing {MATCHES} matches in {seconds.seconds} s: duplicates, disorder, reversals and all"
        )
        await _play_to_the_end(settings, seconds, seed, ledger)
        board.say("played; auditing Kafka, PostgreSQL and Redis against what was sent")
        audit = ("-m", "recovery", "audit", "--ledger", str(ledger), "--settle", SETTLES_WITHIN)
        return await _python(settings, *audit)


async def play(settings: Settings, board: Board, seed: int, lanes: int) -> int:
    """Play match days until stopped."""
    if ownership.holder(settings.data) is not None:
        raise DemoFailedError(
            f"a stack already runs in {settings.data}. ./dev status shows it, ./dev down stops it."
        )
    platform_parts.check_modules()
    ledger = _new_ledger(settings, seed)
    arguments = _simulator_arguments(timedelta(), seed, ledger)
    async with running(settings, None, board.say, board.changed) as stack:
        await stack.start_servers()
        await stack.start_platform(lanes)
        await stack.start([platform_parts.simulator(settings, arguments)])
        board.say(
            f"\n  Watch the matches:  {settings.url('gateway')}\n"
            f"  REST API:           {settings.url('api')}/schema\n"
            "  Stop:               Ctrl-C here, or ./dev down in another terminal\n"
        )
        with board.live():
            await asyncio.Event().wait()
    return 0


@asynccontextmanager
async def _platform(settings: Settings, board: Board, lanes: int) -> AsyncIterator[None]:
    """Everything but the simulator: a stack of our own, or the one that already runs here."""
    if ownership.holder(settings.data) is not None:
        _must_be_usable(ownership.read_record(settings.data))
        board.say(f"using the stack that already runs in {settings.data}")
        yield
        return
    async with running(settings, None, board.say, board.changed) as stack:
        await stack.start_servers()
        await stack.start_platform(lanes)
        with board.live():
            yield


def _must_be_usable(records: Sequence[ownership.Record]) -> None:
    up = {record.name for record in records if record.state == State.UP}
    if "simulator" in up:
        raise DemoFailedError("an open-ended demo is already playing here; ./dev down stops it.")
    if missing := PLATFORM - up:
        raise DemoFailedError(
            f"a stack runs here, but {', '.join(sorted(missing))} is not up in it. ./dev down stops it;"
            " then ./dev demo starts all, or ./dev up --platform starts one to play on."
        )


def _new_ledger(settings: Settings, seed: int) -> Path:
    """Where the simulator writes what it sent; of this run alone, so an old one goes."""
    ledger = settings.data / "demo" / f"ledger-{seed}.jsonl"
    ledger.parent.mkdir(parents=True, exist_ok=True)
    ledger.unlink(missing_ok=True)
    return ledger


def _simulator_arguments(seconds: timedelta, seed: int, ledger: Path) -> tuple[str, ...]:
    trouble = [word for option in TROUBLE for word in option]
    day = ["--seed", str(seed), "--matches", str(MATCHES), "--seconds", str(seconds.seconds)]
    return (*day, "--rate", str(RECORDS_PER_SECOND), *trouble, "--ledger", str(ledger))


async def _play_to_the_end(settings: Settings, seconds: timedelta, seed: int, ledger: Path) -> None:
    """Run the simulator once, until everything it has was read."""
    child = platform_parts.simulator(settings, _simulator_arguments(seconds, seed, ledger))
    check_free([child])
    log = settings.data / "logs" / "simulator.log"
    process = await spawn(child, log)
    try:
        code = await asyncio.wait_for(process.wait(), (seconds + READ_WITHIN).total_seconds())
    except TimeoutError:
        raise DemoFailedError(
            f"the simulator was not done {READ_WITHIN.seconds} s after its match day: something does not read"
            f" its feeds. ./dev status and {settings.data / 'logs'} say which.\n" + _tail(log)
        ) from None
    finally:
        await _end(process, child)
    if code != 0:
        raise DemoFailedError(f"the simulator exited with {code}:\n{_tail(log)}")
    _must_be_complete(ledger)


def _must_be_complete(ledger: Path) -> None:
    """An audit against an empty ledger would find nothing missing."""
    lines = ledger.read_bytes().splitlines() if ledger.exists() else []
    last = msgspec.json.decode(lines[-1]) if lines else {}
    if last.get("kind") != "end" or not last.get("records"):
        raise DemoFailedError(f"the simulator's ledger {ledger} does not say that it sent everything")


async def _end(process: Process, child: Child) -> None:
    if process.returncode is None:
        process.send_signal(child.stop_signal)
        await process.wait()


async def _python(settings: Settings, *arguments: str) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, env=inherited(environment_of(settings))
    )
    return await process.wait()


def _tail(log: Path) -> str:
    return "\n".join(f"    {line}" for line in last_lines(log, 12))
