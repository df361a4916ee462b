"""What a supervised process is: how it starts, when it is ready, how it stops."""

import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path


class State(StrEnum):
    """Where a child is in its life; the words that `status` shows."""

    WAITING = "waiting"  # for what it needs
    STARTING = "starting"  # runs, not ready yet
    UP = "up"
    UNWELL = "unwell"  # runs, but its probe fails
    RESTARTING = "restarting"  # died, will be started again
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"  # given up; says why


class NotReadyError(Exception):
    """A probe's answer while its server is not there yet; says what is missing."""


Probe = Callable[[], Awaitable[None]]  # returns when healthy; raises NotReadyError


async def is_running() -> None:
    """Be content with a process that is alive: for those that listen nowhere."""


@dataclass(frozen=True, kw_only=True)
class RunAs:
    """Another user to run as; `reach` when its files lie below a closed folder."""

    user: str
    reach: bool


@dataclass(frozen=True, kw_only=True)
class Child:
    """One process of the stack, as data.

    `before` runs in a thread ahead of every start, the restart after a kill
    included, so it must do nothing where there is nothing to do.
    """

    name: str
    argv: tuple[str, ...]
    ports: tuple[int, ...] = ()  # must be free before the first start
    needs: tuple[str, ...] = ()  # names; started after them, stopped before them
    environment: Mapping[str, str] = field(default_factory=dict)
    after_giving_way: Mapping[str, str] = field(default_factory=dict)  # added, until it is up again
    folder: Path | None = None  # working directory
    before: Callable[[], None] | None = None
    probe: Probe = is_running
    steady_after: timedelta = timedelta()  # up only when it has lived this long
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within: timedelta = timedelta(seconds=15)  # then SIGKILL
    start_within: timedelta = timedelta(seconds=120)
    run_as: RunAs | None = None

    @property
    def port(self) -> int | None:
        return self.ports[0] if self.ports else None
