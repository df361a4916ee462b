"""Watch over one child: start it, see it ready, start it again when it dies."""

import asyncio
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psutil

from local.child import Child, NotReadyError, State
from local.spawn import bound, last_lines, spawn

READINESS_EVERY_SECONDS = 0.1
HEALTH_EVERY_SECONDS = 1.0
UNWELL_AFTER_PROBES = 2  # one slow answer is not an illness
GIVE_UP_AFTER_STARTS = 4  # for a child that has never been up

FIRST_DELAY = timedelta(milliseconds=100)
LONGEST_DELAY = timedelta(seconds=10)
PROVEN_AFTER = timedelta(seconds=10)  # up this long: its next death starts from the first delay
# A child that ends with this code found another at its work: it is told so when it
# starts again, as taking that back at once would end in the two throwing each other out.
GAVE_WAY = os.EX_TEMPFAIL


class Backoff:
    """How long to wait before the next start: doubles, up to ten seconds."""

    def __init__(self) -> None:
        self._next = FIRST_DELAY

    def after(self, lived: timedelta) -> timedelta:
        """The delay after a child that was up for `lived`."""
        if lived >= PROVEN_AFTER:
            self._next = FIRST_DELAY
        delay = self._next
        self._next = min(delay * 2, LONGEST_DELAY)
        return delay


class Watch:
    """One child and the task that looks after it.

    A child that was up once is started again for ever, with a growing delay.
    One that never was is given up after four starts: then something is wrong
    that a fifth will not mend, and its log says what.
    """

    def __init__(self, child: Child, log: Path, changed: Callable[["Watch"], None]) -> None:
        self.child = child
        self.log = log
        self.state = State.WAITING
        self.detail = ""
        self.restarts = 0
        self.process: Process | None = None
        self.created: float | None = None  # with the pid: what makes it ours
        self.up_at: float | None = None
        self.settled = asyncio.Event()  # up for the first time, or given up
        self._up = asyncio.Event()
        self._changed = changed
        self._stopping = False
        self._backoff = Backoff()
        self._starts = 0
        self._gave_way = False

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process and self.process.returncode is None else None

    async def keep_running(self, needs: Iterable["Watch"]) -> None:
        """Run the child until it is stopped or given up."""
        while True:
            for other in needs:
                await other._up.wait()
            lived, code, reason = await self._one_life()
            if self._stopping:
                return
            if self._starts >= GIVE_UP_AFTER_STARTS and not self.settled.is_set():
                self._become(State.FAILED, reason)
                self.settled.set()
                return
            self._gave_way = self._gave_way or code == GAVE_WAY
            delay = self._backoff.after(lived)
            self.restarts += 1
            self._become(State.RESTARTING, reason)
            await asyncio.sleep(delay.total_seconds())

    async def stop(self) -> None:
        """Ask it to stop, wait, kill what is left of it; never raises."""
        self._stopping = True
        process = self.process
        if process is None or process.returncode is not None:
            self._become(State.STOPPED)
            return
        self._become(State.STOPPING)
        with suppress(ProcessLookupError):
            process.send_signal(self.child.stop_signal)
        try:
            await asyncio.wait_for(process.wait(), self.child.stop_within.total_seconds())
            self._become(State.STOPPED)
        except TimeoutError:
            self._kill_group(process.pid)
            await process.wait()
            self._become(State.STOPPED, f"killed: did not stop within {self.child.stop_within.seconds} s")
        self._kill_group(process.pid)

    async def _one_life(self) -> tuple[timedelta, int | None, str]:
        """Start the child and stay until it ends; return how long it was up, its exit code, and why."""
        clock = asyncio.get_running_loop().time
        self._starts += 1
        self._become(State.STARTING)
        try:
            if self.child.before is not None:
                await asyncio.to_thread(self.child.before)
            process = self.process = await spawn(self._as_told(), self.log)
        except (OSError, RuntimeError) as error:
            return timedelta(), None, str(error)
        with suppress(psutil.NoSuchProcess):
            self.created = psutil.Process(process.pid).create_time()
        self._become(State.STARTING)
        health = asyncio.create_task(self._follow_health(process))
        try:
            code = await process.wait()
        finally:
            health.cancel()
        self._kill_group(process.pid)  # what it started must not hold its ports
        self._up.clear()
        lived = timedelta(seconds=clock() - self.up_at) if self.up_at is not None else timedelta()
        self.up_at = None
        return lived, code, _ending(code, self.log)

    def _as_told(self) -> Child:
        if not self._gave_way:
            return self.child
        return replace(self.child, environment={**self.child.environment, **self.child.after_giving_way})

    async def _follow_health(self, process: Process) -> None:
        clock = asyncio.get_running_loop().time
        steady = clock() + self.child.steady_after.total_seconds()
        deadline = clock() + self.child.start_within.total_seconds()
        failures = 0
        while True:
            try:
                await self.child.probe()
                failures = 0
                if self.state is not State.STOPPING and clock() >= steady:
                    self._be_up(clock())
            except NotReadyError as error:
                failures += 1
                if self.up_at is None and clock() > deadline:
                    self.detail = f"not ready within {self.child.start_within.seconds} s: {error}"
                    with suppress(ProcessLookupError):
                        process.kill()
                elif self.state is State.UP and failures >= UNWELL_AFTER_PROBES:
                    self._become(State.UNWELL, str(error))
            bound(self.log)
            starting = self.up_at is None
            await asyncio.sleep(READINESS_EVERY_SECONDS if starting else HEALTH_EVERY_SECONDS)

    def _be_up(self, now: float) -> None:
        if self.up_at is None:
            self.up_at = now
        if self.state is not State.UP:
            self._become(State.UP)
        self._gave_way = False
        self._up.set()
        self.settled.set()

    def _become(self, state: State, detail: str = "") -> None:
        self.state, self.detail = state, detail
        self._changed(self)

    def _kill_group(self, pid: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _ending(code: int, log: Path) -> str:
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
    said = last_lines(log, 1)
    return f"{how}; last line of its log: {said[0]}" if said and code > 0 else how
