"""`./dev up | down | status | demo`: the local stack at the command line."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Coroutine
from datetime import timedelta
from typing import Annotated, Literal

import msgspec
from cyclopts import App, Parameter
from rich.console import Console

import settings as configuration
from local import ownership, platform_parts
from local.child import State
from local.demo import DemoFailedError, check, play
from local.display import Board, table
from local.installation import prepare
from local.page_libraries import PageLibrariesError
from local.platform_parts import MissingPartError
from local.ports import PortInUseError
from local.servers.jars import JarDownloadError
from local.servers.kafka import BrokerCountError
from local.servers.postgres import PostgresCannotRunError
from local.stack import DiskFullError, running
from local.supervise import ChildFailedError
from local.topics import ShardCountError
from settings import Settings, SettingsError

# What a person can mend: said in one paragraph, without a traceback.
EXPECTED = (
    ownership.AlreadyRunningError,
    ownership.NotOursError,
    BrokerCountError,
    ChildFailedError,
    DemoFailedError,
    DiskFullError,
    JarDownloadError,
    MissingPartError,
    PageLibrariesError,
    PortInUseError,
    PostgresCannotRunError,
    SettingsError,
    ShardCountError,
)
STOPS_WITHIN_SECONDS = 90.0

app = App(
    name="./dev",
    help="Run Touchline on this machine. Data and logs lie in .touchline (TOUCHLINE_DATA), ports start at"
    " 28000 (TOUCHLINE_PORT_BASE).",
    version_flags=(),
)


@app.command
def up(
    *,
    platform: Annotated[bool, Parameter(negative="")] = False,
    brokers: Literal[1, 3] | None = None,
    lanes: int = 1,
    only: tuple[Literal["kafka", "postgres", "redis"], ...] = (),
) -> int:
    """Start the servers and stay in front until Ctrl-C.

    Kafka, PostgreSQL and Redis start, topics and tables are made where they
    are missing, and whatever dies is started again. Another terminal can ask
    `./dev status` and say `./dev down`.

    Parameters
    ----------
    platform
        Also run ingest, enrich, deliver, gateway and api, audit what they deliver, and keep backups of the
        stores and of PostgreSQL.
    brokers
        Three: replication 3, two in sync, a rack each. By default one; fixed for the life of a data folder.
    lanes
        How many processes share the work of enrich.
    only
        Just this server (may be given again), without making topics and tables.
    """
    if only:
        return _in_front(_up_only(configuration.load(), only))
    return _in_front(_up(configuration.load(), platform, brokers, lanes))


@app.command(name="prepare")
def prepare_servers(*, replicas: int = 1) -> int:
    """Make topics and tables on servers that run already, such as those of compose.yaml.

    `./dev up` does this by itself. What is there stays as it is.

    Parameters
    ----------
    replicas
        Copies of each topic; two of them must be in sync when there are more than one.
    """
    prepare(configuration.load(), replicas)
    print("topics and tables are there")
    return 0


@app.command
def down() -> int:
    """Stop a running stack, from any terminal; nothing is lost."""
    data = configuration.load().data
    pid = ownership.holder(data)
    if pid is None:
        print(f"nothing runs in {data}")
        return 0
    ownership.ask_to_stop(data, pid)
    if not ownership.wait_until_free(data, STOPS_WITHIN_SECONDS):
        print(
            f"pid {pid} still runs after {STOPS_WITHIN_SECONDS:.0f} s; see {data / 'logs'}", file=sys.stderr
        )
        return 1
    print("stopped")
    return 0


@app.command
def status(*, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> int:
    """Show each part: state, port, pid, uptime, restarts. Exit 0 only when all is well.

    Parameters
    ----------
    as_json
        Print one JSON object instead of a table.
    """
    data = configuration.load().data
    pid = ownership.holder(data)
    records = ownership.read_record(data) if pid is not None else []
    healthy = bool(records) and all(r.state == State.UP and ownership.is_alive(r) for r in records)
    if as_json:
        parts = msgspec.to_builtins(records)
        print(
            json.dumps({"healthy": healthy, "supervisor": pid, "data": str(data), "parts": parts}, indent=2)
        )
    elif pid is None:
        print(f"nothing runs in {data}; ./dev up starts it")
    else:
        Console(soft_wrap=True).print(table(records, time.time()))
    return 0 if healthy else 1


@app.command
def demo(
    *,
    check_it: Annotated[bool, Parameter(name="--check", negative="")] = False,
    seconds: int = 30,
    seed: int = 1,
    lanes: int = 1,
) -> int:
    """Start everything and play a match day.

    Without --check it goes on until Ctrl-C and prints the address of the page.
    With it, a short match day is played with duplicates, disorder and
    corrections; the audit then compares Kafka, PostgreSQL and Redis with what
    was sent, prints its receipt, and its verdict is the exit code.

    Parameters
    ----------
    check_it
        Play, drain, audit, stop.
    seconds
        How long the checked match day lasts.
    seed
        The same seed plays the same match day.
    lanes
        How many processes share the work of enrich.
    """
    loaded = configuration.load()
    board = Board(Console(), time.time)
    if check_it:
        return _in_front(check(loaded, board, timedelta(seconds=seconds), seed, lanes))
    return _in_front(play(loaded, board, seed, lanes))


async def _up(loaded: Settings, platform: bool, brokers: int | None, lanes: int) -> int:
    if platform:
        platform_parts.check_modules()
    board = Board(Console(), time.time)
    async with running(loaded, brokers, board.say, board.changed) as stack:
        await stack.start_servers()
        if platform:
            await stack.start_platform(lanes, is_guarded=True)
            board.say(f"page   {loaded.url('gateway')}\nAPI    {loaded.url('api')}/schema")
        board.say("all up; Ctrl-C or ./dev down stops")
        with board.live():
            await asyncio.Event().wait()
    return 0


async def _up_only(loaded: Settings, only: tuple[str, ...]) -> int:
    board = Board(Console(), time.time)
    async with running(loaded, None, board.say, board.changed) as stack:
        await stack.start_only(only)
        board.say("all up; Ctrl-C or ./dev down stops")
        with board.live():
            await asyncio.Event().wait()
    return 0


def _in_front(work: Coroutine[None, None, int]) -> int:
    """Run until done or asked to stop; a second Ctrl-C changes nothing, the stop is on its way."""

    async def until_signalled() -> int:
        task = asyncio.ensure_future(work)
        asked = asyncio.Event()

        def ask_to_stop() -> None:
            if not asked.is_set():
                asked.set()
                print("stopping", flush=True)
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup wants it to stay
                asyncio.get_running_loop().add_signal_handler(number, ask_to_stop)
        try:
            return await task
        except asyncio.CancelledError:
            return 0

    return asyncio.run(until_signalled())


def main() -> int:
    """Run the command line; say what a person can mend in plain words."""
    try:
        return int(app(result_action="return_value") or 0)
    except EXPECTED as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 1
