"""Who runs a data folder: one supervisor at a time, and none of its orphans.

`run/lock` is held (flock) by the supervisor for as long as it lives, however
it ends. `run/parts.json` says what it started.
"""

import errno
import fcntl
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil

if TYPE_CHECKING:
    from local.watch import Watch

ORPHAN_STOPS_WITHIN_SECONDS = 20.0


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A part as `status` shows it, and as the next start recognises it."""

    name: str
    state: str
    detail: str
    pid: int | None
    created: float | None  # start time of the pid, so that a reused one is not ours
    port: int | None
    up_since: float | None
    restarts: int
    stop_signal: int
    log: str

    @classmethod
    def of(cls, watch: "Watch") -> "Record":
        up = watch.up_at is not None and watch.pid is not None
        return cls(
            name=watch.child.name,
            state=watch.state,
            detail=watch.detail,
            pid=watch.pid,
            created=watch.created if watch.pid is not None else None,
            port=watch.child.port,
            up_since=watch.created if up else None,
            restarts=watch.restarts,
            stop_signal=int(watch.child.stop_signal),
            log=str(watch.log),
        )


class AlreadyRunningError(RuntimeError):
    """Another supervisor holds the data folder."""

    def __init__(self, data: Path, pid: int | None) -> None:
        super().__init__(
            f"a stack already runs in {data} (pid {pid}). ./dev status shows it, ./dev down stops it;"
            " for a second one beside it set TOUCHLINE_DATA and TOUCHLINE_PORT_BASE."
        )
        self.data = data
        self.pid = pid


class NotOursError(RuntimeError):
    """The data folder, or what runs in it, belongs to another user."""

    def __init__(self, data: Path) -> None:
        super().__init__(
            f"{data} belongs to another user. Ask them, or set TOUCHLINE_DATA and TOUCHLINE_PORT_BASE to"
            " have a stack of your own."
        )
        self.data = data


def acquire(data: Path) -> int:
    """Take the folder for this process; return the descriptor that holds it.

    Raises AlreadyRunningError, NotOursError.
    """
    try:
        (data / "run").mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data / "run" / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except PermissionError as error:
        raise NotOursError(data) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise AlreadyRunningError(data, holder(data)) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def holder(data: Path) -> int | None:
    """The pid of the supervisor of this folder, or None when there is none."""
    path = data / "run" / "lock"
    if not path.exists():
        return None
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            return int(file.read() or 0) or None
    return None


def write_record(data: Path, records: Sequence[Record]) -> None:
    path = data / "run" / "parts.json"
    path.parent.mkdir(exist_ok=True)  # not there yet where nobody holds the folder
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(records)))
    partial.replace(path)


def read_record(data: Path) -> list[Record]:
    path = data / "run" / "parts.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Record])
    except (FileNotFoundError, msgspec.MsgspecError):
        return []


def end_orphans(data: Path) -> list[str]:
    """Stop what a killed supervisor left running here; return the names.

    A pid is ours only with the start time that was recorded: after a reboot,
    or in a busy machine, the number may be a stranger's.
    """
    orphans = [(record, process) for record in read_record(data) if (process := _ours(record))]
    for record, process in orphans:
        _signal(process, signal.Signals(record.stop_signal))
    _, stubborn = psutil.wait_procs([process for _, process in orphans], ORPHAN_STOPS_WITHIN_SECONDS)
    for process in stubborn:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(stubborn, ORPHAN_STOPS_WITHIN_SECONDS)
    return [record.name for record, _ in orphans]


def ask_to_stop(data: Path, supervisor: int) -> None:
    """Send the supervisor SIGTERM; raise NotOursError when it is another user's."""
    try:
        os.kill(supervisor, signal.SIGTERM)
    except PermissionError as error:
        raise NotOursError(data) from error
    except ProcessLookupError:
        return  # it ended by itself just now


def wait_until_free(data: Path, seconds: float) -> bool:
    """Whether the folder's supervisor ended within `seconds`."""
    deadline = time.monotonic() + seconds
    while holder(data) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def is_alive(record: Record) -> bool:
    return _ours(record) is not None


def _ours(record: Record) -> psutil.Process | None:
    if record.pid is None or record.created is None:
        return None
    try:
        process = psutil.Process(record.pid)
        same = abs(process.create_time() - record.created) < 0.05
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
