"""A lane as a process of its own, as a data engineer runs it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import psycopg

from local.environment import environment_of
from settings import ROOT, Settings

_COMMAND = [sys.executable, "-m", "bytewax.run", "dataflows.enrich"]


class Run(NamedTuple):
    """How a lane ended."""

    code: int
    said: str


def drain(settings: Settings, seconds: float = 60) -> Run:
    """Run a lane that stops where the topics end."""
    done = subprocess.run(
        _COMMAND,
        cwd=ROOT,
        env=_environment(msgspec.structs.replace(settings, stop_at_end=True)),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return Run(done.returncode, done.stderr)


class RunningLane:
    """A lane that goes on until it is killed, or leaves."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log

    def said(self) -> str:
        return self._log.read_text()

    def has_left(self) -> bool:
        return self.process.poll() is not None


@contextmanager
def running_lane(settings: Settings, log: Path) -> Iterator[RunningLane]:
    """Start a lane; it is killed at the end."""
    with log.open("wb") as said:
        process = subprocess.Popen(_COMMAND, cwd=ROOT, env=_environment(settings), stderr=said)
    try:
        yield RunningLane(process, log)
    finally:
        process.kill()
        process.wait()


def rows(settings: Settings) -> int:
    """How many events the log has."""
    with closing(psycopg.connect(settings.postgres)) as connection:
        row = connection.execute("SELECT count(*) FROM events").fetchone()
        assert row is not None
        return int(row[0])


def _environment(settings: Settings) -> dict[str, str]:
    return environment_of(settings) | {"PATH": os.environ["PATH"]}
