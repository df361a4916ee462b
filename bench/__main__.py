"""`./dev bench drain | latency | comeback`: measure this machine, each figure beside a comparison."""

import asyncio
import sys
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import msgspec
from cyclopts import App

import settings as configuration
from bench.comeback import ComebackError, How
from bench.comeback import comeback as measure_comeback
from bench.drain import DrainError
from bench.drain import drain as measure_drain
from bench.latency import LatencyError
from bench.latency import latency as measure_latency
from bench.push import PushError

app = App(
    name="./dev bench",
    help="Measure throughput and latency on the servers that are up, or on some started for this call."
    " Prints one JSON object; progress goes to standard error. Machines are noisy: run it several times"
    " and quote the median.",
    version_flags=(),
)


@app.command
def drain(*, records: int = 1_000_000, lanes: int = 1, seed: int = 1) -> int:
    """Fill Kafka, then time how fast the backlog reaches Postgres and Redis; audit it.

    Parameters
    ----------
    records
        How many records lie in Kafka before the lanes start; a tenth are duplicates.
    lanes
        How many lanes (processes) drain them.
    seed
        Of the records.
    """
    return _print(measure_drain(configuration.load(), records, lanes, seed))


@app.command
def latency(*, rate: int = 1_000, seconds: int = 20, warm_up: int = 60, lanes: int = 1, seed: int = 1) -> int:
    """Push records over HTTP at a rate, and time each from its acceptance to a Socket.IO client.

    Parameters
    ----------
    rate
        Records a second, spread over 64 matches, of which the client follows four.
    seconds
        How long.
    warm_up
        How long to push before that, in seconds: a fresh broker compiles itself for a minute.
    lanes
        How many lanes of enrich run.
    seed
        Of the records.
    """
    duration, before = timedelta(seconds=seconds), timedelta(seconds=warm_up)
    return _print(measure_latency(configuration.load(), rate, duration, before, lanes, seed))


@app.command
def comeback(
    *, how: How = "kill", rate: int = 10_000, times: int = 3, backlog: str = "0s", seed: int = 1
) -> int:
    """Take a lane away under load, and time how long the log stands still.

    Parameters
    ----------
    how
        `kill`: SIGKILL, and another lane starts at once. `standby`: SIGKILL, and the next lane
        waits already. `handover`: the next lane waits already, and SIGTERM asks the first to leave.
    rate
        Records a second, produced to Kafka all the time.
    times
        How often.
    backlog
        How much time's records the last lane finds waiting (10m: 600 times the rate).
    seed
        Of the records.
    """
    waiting = configuration.parse_duration(backlog)
    return _print(measure_comeback(configuration.load(), how, rate, times, waiting, seed))


def _print(measuring: Coroutine[Any, Any, msgspec.Struct]) -> int:
    try:
        figures = asyncio.run(measuring)
    except (ComebackError, DrainError, LatencyError, PushError, configuration.SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(figures), indent=2).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(app())
