"""Run a restored server until it has replayed and promoted itself, and begin the new lives of its log."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import psycopg

from recovery.postgres.errors import ServerFailedError, TargetNotReachedError
from recovery.postgres.lsn import Hole
from recovery.postgres.programs import Programs, ServerUser, as_user
from recovery.postgres.target import Target
from storage.connect import connect
from storage.new_lives import NewLife, begin_new_lives
from storage.streams import Streams, StreamsUnavailableError

_LOOK_EVERY_SECONDS = 0.05
_STOPS_WITHIN_SECONDS = 60.0
_NOT_REACHED = "recovery ended before configured recovery target was reached"
_LAST_COMMIT = re.compile(r"last completed transaction was at log time (\S+ \S+)")


class RestoredServer:
    """A PostgreSQL server of its own on loopback; it goes on when this process ends, unless stopped."""

    def __init__(
        self,
        data: Path,
        port: int,
        programs: Programs,
        user: ServerUser | None,
        wrapped_in: Sequence[str] = (),
    ) -> None:
        """`wrapped_in` is a command that becomes the server, such as one that ties its life to ours."""
        self.data = data
        self.port = port
        self.log = data.with_name(f"{data.name}.log")
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",  # its path may have 107 bytes at most
            # Nobody reads while it replays, and so it need not have the limits of the one before.
            "hot_standby": "off",
            "archive_mode": "off",
            "max_connections": "200",
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        argv = [programs.path("postgres"), "-D", str(data)]
        argv += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                as_user([*wrapped_in, *argv], user, data),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",  # a server that may not enter the caller's warns
                start_new_session=True,
            )

    def wait(self, dsn: str, target: Target, hole: Hole | None, look: Callable[[], None]) -> None:
        """Return once it takes writes; raise TargetNotReachedError, ServerFailedError."""
        while True:
            code = self._process.poll()
            if code is not None:
                raise self._failure(target, hole, code)
            look()
            try:
                connect(dsn, "touchline-restore").close()
                return
            except psycopg.OperationalError:
                time.sleep(_LOOK_EVERY_SECONDS)

    def stop(self) -> None:
        """Shut it down with a checkpoint; it is clean afterwards."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGINT)
            try:
                self._process.wait(_STOPS_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def last_commit(self) -> datetime | None:
        """When the last replayed transaction was committed, as the server's log says."""
        found = _LAST_COMMIT.findall(self.log.read_text(errors="replace"))
        return datetime.fromisoformat(found[-1]) if found else None

    def _failure(self, target: Target, hole: Hole | None, code: int) -> Exception:
        said = self.log.read_text(errors="replace")
        if _NOT_REACHED in said:
            return TargetNotReachedError(str(target), self.last_commit(), hole)
        fatal = [line.partition("FATAL:")[2].strip() for line in said.splitlines() if "FATAL:" in line]
        lines = [line for line in said.splitlines() if line.strip()]
        reason = fatal[-1] if fatal else lines[-1] if lines else f"exit {code}"
        return ServerFailedError(reason, self.log)


def begin_lives(dsn: str, redis: str) -> tuple[list[NewLife], str | None]:
    """Begin new lives of all shards, above every stream in Redis; return them, and why Redis was not asked.

    Without Redis's word a generation is still the time in milliseconds, and
    so above every one that was made before now.
    """
    seen: dict[int, int] = {}
    trouble: str | None = None
    streams = Streams(redis)
    try:
        for name in streams.names():
            seen[name.shard] = max(seen.get(name.shard, 0), name.generation)
    except StreamsUnavailableError as error:
        trouble = error.detail
    finally:
        streams.close()
    with connect(dsn, "touchline-restore") as connection:
        return begin_new_lives(connection, seen), trouble
