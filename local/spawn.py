"""Start a child: its own session, its own log, a life tied to ours."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Sequence
from pathlib import Path

from local import launch
from local.child import Child, RunAs
from local.environment import inherited

# Two files of this size per child: enough to see what led to a crash, and a
# demo left running over a weekend does not fill the disk.
LOG_BYTES = 8 * 1024 * 1024


def command_line(argv: Sequence[str], run_as: RunAs | None, on_our_death: signal.Signals) -> list[str]:
    """Wrap `argv` so that it runs as another user and gets a signal when we die."""
    user = [] if run_as is None else ["--user", run_as.user, *(["--reach"] if run_as.reach else [])]
    life = ["--parent", str(os.getpid()), "--signal", str(int(on_our_death))]
    # -I -S: no site-packages and nothing of the user's; half the start time.
    return [sys.executable, "-I", "-S", launch.__file__, *life, *user, "--", *argv]


async def spawn(child: Child, log: Path) -> Process:
    """Start the child; what it prints is appended to `log`.

    Call it from the main thread: the kernel counts the end of the thread that
    forked as the parent's death. The child gets a session of its own, so that
    Ctrl-C in the terminal reaches us alone and the order of stopping is ours.
    """
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *command_line(child.argv, child.run_as, child.stop_signal),
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
            cwd=child.folder,
            env=inherited(child.environment),
            start_new_session=True,
        )


def bound(log: Path) -> None:
    """Move a log that grew too long aside, in place.

    The child holds the file open for appending, so it is copied and cut, not
    renamed. Lines written in between are lost; a log is not a record.
    """
    if not log.exists() or log.stat().st_size <= LOG_BYTES:
        return
    log.with_suffix(".log.1").write_bytes(log.read_bytes())
    os.truncate(log, 0)


def last_lines(log: Path, count: int) -> list[str]:
    """The end of a log, for an error message."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16 * 1024))
        return file.read().decode(errors="replace").splitlines()[-count:]
