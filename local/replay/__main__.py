"""`python -m local.replay` (`./dev replay`): a recorded match, from its vendor's file to a fan."""

import asyncio
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import App, Parameter, validators
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

import settings as configuration
from local.cli import EXPECTED
from local.display import Board
from local.replay.delivered import StuckError
from local.replay.fan import FanError
from local.replay.ground import NoLaneError, UnusableStackError, ground
from local.replay.oracle import OracleUnreadableError, differences, read_oracle
from local.replay.recording import lines_of
from local.replay.run import IngestFailedError, Result, Watch, Wish, replay
from settings import Settings, parse_duration

HELP = """\
Send a recorded match through everything, and print what came out as one JSON object.

FILE holds a vendor's events, one JSON object a line (StatsBomb). It is served as
a broadcast feed, polled by an ingest of its own, and watched at the gateway by a
stock JavaScript Socket.IO client. Results are read from what was delivered:
each line ends as an event or as a dead letter with its reason. Of an id that
stands in FILE several times, the last line holds, in whatever order it is sent.

The stack is started when none runs here, and stopped again afterwards.

    ./dev replay match.jsonl --speed 60
    ./dev replay match.jsonl --shuffle-within 30s --duplicate 3 --kill-enrich 2 --oracle truth.json

Exit status: 0 all as it should be; 1 a difference, each one named in `differences`;
2 it could not run, and says why.
"""

OUT_OF_ORDER = (
    FanError,
    IngestFailedError,
    NoLaneError,
    OracleUnreadableError,
    StuckError,
    UnusableStackError,
)
DIFFERENT, COULD_NOT_RUN = 1, 2

app = App(name="replay", help=HELP, help_format="markdown", version_flags=[])


@app.default
def main(
    file: Path,
    /,
    *,
    speed: float | Literal["max"] = "max",
    shuffle_within: str = "0s",
    duplicate: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=100))] = 1,
    oracle: Path | None = None,
    match: str | None = None,
    seed: int = 1,
    kill_enrich: Annotated[int, Parameter(validator=validators.Number(gte=0, lte=20))] = 0,
) -> int:
    """Replay FILE.

    Parameters
    ----------
    speed
        How many times faster than the match was: 1 is as it was, max all at once.
    shuffle_within
        Move each line back by up to this much of the match's time, like 30s.
    duplicate
        Send each line this often in all.
    oracle
        File with the truth about the match; compare with it.
    match
        Id to give the match; by default a new one each time.
    seed
        Of the order, the copies and the moments to kill at.
    kill_enrich
        SIGKILL the lane of enrich so often on the way; its supervisor starts it again.
    """
    console = Console(stderr=True)
    try:
        truth = read_oracle(oracle) if oracle else {}
        wish = Wish(
            lines=tuple(lines_of(file.read_bytes())),
            match=match or f"{file.stem[:100]}-{secrets.token_hex(4)}",
            speed=None if speed == "max" else _positive(speed),
            shuffle_within=parse_duration(shuffle_within),
            copies=duplicate,
            seed=seed,
            kills=kill_enrich,
        )
        result = asyncio.run(_replay(configuration.load(), wish, console))
    except (*OUT_OF_ORDER, *EXPECTED, OSError, ValueError) as error:
        console.print(f"replay: {error}", style="bold red", markup=False, highlight=False)
        return COULD_NOT_RUN
    return _report(result, truth, console)


async def _replay(settings: Settings, wish: Wish, console: Console) -> Result:
    board = Board(console, time.time)
    async with ground(settings, board) as found:
        board.say(f"replaying {len(wish.lines)} lines as match {wish.match}")
        with _progress(console, len(wish.lines) * wish.copies, len(wish.lines)) as watch:
            return await replay(found, wish, datetime.now(UTC), board.say, watch)


@contextmanager
def _progress(console: Console, lines: int, events: int) -> Iterator[Watch]:
    columns = (TextColumn("{task.description:>28}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        taken = bars.add_task("lines in Kafka", total=lines)
        stored = bars.add_task("events in Postgres", total=events)
        seen = bars.add_task("at a Socket.IO client", total=events)

        def watch(lines_taken: int, events_stored: int, events_seen: int) -> None:
            bars.update(taken, completed=lines_taken)
            bars.update(stored, completed=events_stored)
            bars.update(seen, completed=events_seen)

        yield watch


def _report(result: Result, truth: dict[str, Any], console: Console) -> int:
    outcome: dict[str, Any] = msgspec.to_builtins(result.outcome)
    rest: dict[str, Any] = msgspec.to_builtins(result)
    del rest["outcome"]
    found = [*rest.pop("disagreements"), *differences(truth, outcome, result.events)]
    printed = {"match": rest.pop("match"), **outcome, **rest, "differences": found}
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(printed)).decode() + "\n")
    for difference in found:
        console.print(f"differs: {difference}", style="red", markup=False, highlight=False)
    return DIFFERENT if found else 0


def _positive(speed: float) -> float:
    if not speed > 0:
        raise ValueError(f"--speed {speed:g}: give a number above 0, or max")
    return speed


if __name__ == "__main__":
    sys.exit(app())
