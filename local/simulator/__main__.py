"""`python -m local.simulator`: play match days to whoever listens, and keep the ledger."""

import asyncio
import contextlib
import random
import signal
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import httpx
import msgspec
import uvicorn
from cyclopts import App, Parameter, validators

import settings as configuration
from local.ports import holder_of
from local.simulator import served
from local.simulator.feed import Feed
from local.simulator.ledger import Ledger, LedgerMismatchError, read_start
from local.simulator.ledger_entries import Sent
from local.simulator.match_day import Programme
from local.simulator.occasion import Rates
from local.simulator.push import SensorPush, UnexpectedAnswerError
from local.simulator.run import Upstreams, run_name
from settings import Settings, SettingsError

HELP = """\
Be the three upstreams of Touchline for a match day that is made from a seed.

- stadium sensors: pushed to ingest, again until it takes them
- broadcast feed: `GET /broadcast` on TOUCHLINE_PORT_BASE + 90, NDJSON behind a cursor
- social stream: `GET /social` on the same port, server-sent events

What was taken stands in the ledger, with what must be visible in the end;
`python -m recovery audit --ledger FILE` compares. Killed and started again with
the same arguments, it goes on with its ledger: nothing is written twice.

A short day against a running platform:

    python -m local.simulator --seed 7 --seconds 20 --ledger .touchline/demo/ledger-7.jsonl
"""

Share = Annotated[float, Parameter(validator=validators.Number(gte=0, lte=1))]
EXIT_INCOMPLETE = 1
EXIT_USAGE = 2

app = App(name="python -m local.simulator", help=HELP, help_format="markdown", version_flags=[])


class PortTakenError(RuntimeError):
    """Somebody else listens where the feeds should be served."""

    def __init__(self, port: int, holder: str) -> None:
        super().__init__(
            f"port {port} is in use by {holder}. Stop that, or move everything with TOUCHLINE_PORT_BASE."
        )
        self.port = port


class Summary(msgspec.Struct, frozen=True):
    """The line on standard output."""

    complete: bool
    begins_at: datetime
    records: int
    conflicts: int
    malformed: int
    refused: int
    push_retries: int
    matches: list[dict[str, str]]  # of the last day: match and score


@app.default
def simulate(
    *,
    ledger: Path,
    seed: int = 1,
    matches: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=64))] = 4,
    seconds: Annotated[float, Parameter(validator=validators.Number(gte=0))] = 30.0,
    rate: Annotated[float, Parameter(validator=validators.Number(gt=0))] = 300.0,
    duplicates: Share = 0.05,
    disorder: Share = 0.1,
    late: Share = 0.01,
    malformed: Share = 0.01,
    conflicting: Share = 0.005,
    corrections: Share = 0.2,
    start: datetime | None = None,
) -> int:
    """Play until everything was taken, then print a summary as one JSON line.

    Parameters
    ----------
    ledger
        File to write what was taken to; an existing one is continued.
    seed
        The same seed and start send the same bytes.
    matches
        Matches of a day, all at the same time.
    seconds
        How long a match day takes; 0: one of ten minutes after another, until stopped.
    rate
        Records a second, of all matches together.
    duplicates
        Share of the records that are sent again, up to three times.
    disorder
        Share that is held back for up to two seconds; a correction may overtake what it corrects.
    late
        Share that is stamped two to 45 minutes early.
    malformed
        How many broken records come for each good one.
    conflicting
        Share that is followed by another body under the same identity.
    corrections
        Share of the goals and cards that is revised, beside the one goal that always is.
    start
        When the day begins, ISO 8601; by default what the ledger says, or now.
    """
    rates = Rates(duplicates, disorder, late, malformed, conflicting, corrections)
    programme = Programme(seed, matches, seconds, rate, rates)
    known = read_start(ledger)
    begins_at = start or (known.begins_at if known else _now())
    if begins_at.tzinfo is None:
        begins_at = begins_at.astimezone()
    try:
        settings = configuration.load()
        book = Ledger(ledger, programme.start(begins_at.astimezone(UTC)))
        listener = _listen(settings.port("simulator"))
    except (SettingsError, LedgerMismatchError, PortTakenError, OSError) as error:
        sys.stderr.write(f"simulator: {error}\n")
        return EXIT_USAGE
    with asyncio.Runner() as runner:
        try:
            return runner.run(_run(settings, programme, begins_at.astimezone(UTC), book, listener))
        except UnexpectedAnswerError as error:
            sys.stderr.write(f"simulator: {error}\n")
            return EXIT_INCOMPLETE


async def _run(
    settings: Settings, programme: Programme, begins_at: datetime, ledger: Ledger, listener: socket.socket
) -> int:
    run = run_name(programme.start(begins_at))
    broadcast: Feed[Sent] = Feed(run, ledger.take)
    social: Feed[Sent] = Feed(run, ledger.take)
    closing = asyncio.Event()
    application = served.application(
        served.broadcast(broadcast), served.social(social, closing), served.ready()
    )
    server = served.QuietServer(uvicorn.Config(application, log_level="warning", timeout_graceful_shutdown=2))
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=1)) as client:
        jitter = random.Random(run)
        sensors = SensorPush(client, f"{settings.url('ingest')}/sensors", ledger.take, jitter)
        upstreams = Upstreams(programme, begins_at, ledger, broadcast, social, sensors, _now)
        serving = asyncio.create_task(server.serve([listener]))
        pushing = asyncio.create_task(sensors.run())
        playing = asyncio.create_task(upstreams.play())
        with _told_to_stop() as stopped:
            waiting = asyncio.create_task(stopped.wait())
            tasks = {serving, pushing, playing, waiting}
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        closing.set()
        broadcast.wake()
        social.wake()
        server.should_exit = True
        for task in tasks - {serving}:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()  # raises what ended it
    _report(begins_at, ledger, upstreams, sensors)
    return 0 if ledger.is_complete or programme.is_open_ended else EXIT_INCOMPLETE


def _report(begins_at: datetime, ledger: Ledger, upstreams: Upstreams, sensors: SensorPush) -> None:
    totals = ledger.totals()
    summary = Summary(
        complete=ledger.is_complete,
        begins_at=begins_at,
        records=totals.records,
        conflicts=totals.conflicts,
        malformed=totals.malformed,
        refused=totals.refused,
        push_retries=sensors.retries,
        matches=[
            {"match": final.match, "score": f"{final.score.home}-{final.score.away}"}
            for final in upstreams.finals
        ],
    )
    print(msgspec.json.encode(summary).decode(), flush=True)


@contextlib.contextmanager
def _told_to_stop() -> Iterator[asyncio.Event]:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, stopped.set)
    try:
        yield stopped
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port), backlog=256)
    except OSError as error:
        raise PortTakenError(port, holder_of(port)) from error


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(app())
