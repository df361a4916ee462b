"""Keep pg_receivewal running, ship what it writes, and say how far it is.

pg_receivewal streams: a commit is in the archive a moment after it was
acknowledged, long before its segment is full. Its replication slot makes the
server keep what was not received yet, so an archiver may be down for a
while without a hole; for as long, the server's disk fills.
"""

import fcntl
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from recovery.postgres.archive_status import ArchiveStatus, Lag, write_status
from recovery.postgres.conninfo import safe_conninfo
from recovery.postgres.errors import ArchiverRunsError, PlaceUnavailableError
from recovery.postgres.holes import is_received_up_to, put_aside
from recovery.postgres.lsn import format_lsn
from recovery.postgres.place import WAL, Place
from recovery.postgres.programs import Programs
from recovery.postgres.shipping import Shipper
from storage.connect import connect
from storage.replication import ServerIdentity, ensure_slot, identify, kept_from, progress
from telemetry.log import Log

SLOT = "touchline_archive"

STARTED = "archive.started"
DIED = "archive.receiver_died"
UNREACHABLE = "archive.server_unreachable"
NOT_STORED = "archive.not_stored"
LAGGED = "archive.lagged"
REPORTED = "archive.reported"
HOLE_BEGAN = "archive.hole_began"  # until the next base backup, nothing restores beyond it
STOPPED = "archive.stopped"

_LOOK_EVERY_SECONDS = 0.25
_REPORT_EVERY_SECONDS = 1.0
_LOG_EVERY_SECONDS = 60.0
_FIRST_DELAY_SECONDS = 0.2
_LONGEST_DELAY_SECONDS = 5.0
_STOPS_WITHIN_SECONDS = 10.0
# A bucket is asked this often; a folder gets every byte at once.
SHIP_EVERY = timedelta(seconds=2)
_WORRY_SECONDS = 30.0

_log = Log("archive")


class Archiver:
    """One archiver of one server.

    Delivery: every byte of the log once, in order, from the moment the slot
    was made; killed anywhere, the next one goes on where the files end.
    """

    def __init__(self, dsn: str, place: Place, programs: Programs, spool: Path) -> None:
        self._dsn = dsn
        self._place = place
        self._programs = programs
        self._spool = spool if place.folder is None else place.folder
        self._stopping = threading.Event()
        self._delay = _FIRST_DELAY_SECONDS
        self._lag = Lag()
        self._logged_at = 0.0

    def stop(self, *_: object) -> None:
        """Ask it to end; may be called from a signal's handler."""
        self._stopping.set()

    def run(self) -> None:
        """Archive until asked to stop; raise ArchiverRunsError, ProgramMissingError."""
        self._programs.path("pg_receivewal")
        with _alone(self._spool / "postgres" / "archive.lock"):
            while not self._stopping.is_set():
                try:
                    with connect(self._dsn, "touchline-archive") as connection:
                        self._follow(connection)
                except psycopg.Error as error:
                    _log.warning(UNREACHABLE, detail=str(error).strip())
                except PlaceUnavailableError as error:
                    _log.warning(NOT_STORED, detail=str(error))
                self._wait()
        _log.info(STOPPED)

    def _wait(self) -> None:
        """Wait before the next try, longer each time, never the same for two."""
        if not self._stopping.is_set():
            self._stopping.wait(self._delay * random.uniform(0.5, 1.0))
            self._delay = min(self._delay * 2, _LONGEST_DELAY_SECONDS)

    def _follow(self, connection: psycopg.Connection) -> None:
        """Run one pg_receivewal until it dies, the server changes its timeline, or we are asked to stop."""
        server = identify(connection)
        wal = f"{server.system_id}/{server.timeline}"
        folder = self._spool / WAL / wal
        folder.mkdir(parents=True, exist_ok=True)
        is_new = ensure_slot(connection, SLOT)
        shipper = None
        if self._place.folder is None:
            shipper = Shipper(self._place, wal, folder, server.segment_bytes)
        self._begin_again_behind_hole(connection, server, folder, shipper)
        with safe_conninfo(self._dsn, "touchline-archive") as conninfo:
            receiver = self._receive(conninfo, folder)
            _log.info(STARTED, folder=str(folder), slot=SLOT, slot_is_new=is_new)
            try:
                self._watch(connection, server, receiver, shipper)
            finally:
                said = _end(receiver)
                if not self._stopping.is_set():
                    _log.warning(DIED, said=said)
        if self._stopping.is_set():
            self._report(connection, server, shipper)

    def _receive(self, conninfo: str, folder: Path) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [
                self._programs.path("pg_receivewal"),
                f"--dbname={conninfo}",
                f"--directory={folder}",
                f"--slot={SLOT}",
                "--synchronous",  # what is reported as received is on disk
                "--status-interval=1",
                "--no-loop",  # we start it again, and say why
                "--no-password",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches us alone
        )

    def _begin_again_behind_hole(
        self, connection: psycopg.Connection, server: ServerIdentity, folder: Path, shipper: Shipper | None
    ) -> None:
        """Let the receiver begin where the server's log begins, when what is in between is gone.

        pg_receivewal goes on where the files end, and would ask for ever. So
        they move into a folder of their own: what restores from them still does.

        Not after the receiver asked: the server then notes that it is as far
        back as what it asked for, though nothing of that is left.
        """
        kept = kept_from(connection, SLOT)
        if kept is None or is_received_up_to(folder, kept // server.segment_bytes, server.segment_bytes):
            return
        if shipper is not None:
            shipper.ship()
        aside = put_aside(folder, server.segment_bytes)
        _log.error(HOLE_BEGAN, kept_from=format_lsn(kept), before_it=str(aside))

    def _watch(
        self,
        connection: psycopg.Connection,
        server: ServerIdentity,
        receiver: "subprocess.Popen[bytes]",
        shipper: Shipper | None,
    ) -> None:
        every = _REPORT_EVERY_SECONDS if shipper is None else SHIP_EVERY.total_seconds()
        report_at = time.monotonic()
        while receiver.poll() is None and not self._stopping.is_set():
            if time.monotonic() >= report_at:
                if identify(connection).timeline != server.timeline:
                    return
                self._report(connection, server, shipper)
                report_at = time.monotonic() + every
            self._stopping.wait(_LOOK_EVERY_SECONDS)

    def _report(
        self, connection: psycopg.Connection, server: ServerIdentity, shipper: Shipper | None
    ) -> None:
        seen = progress(connection, SLOT)
        if shipper is not None:
            shipper.ship()  # at least what was received when we looked
        now = time.monotonic()
        archived = seen.received
        if archived is None:
            return  # it connects, or has just ended
        self._delay = _FIRST_DELAY_SECONDS
        lag_bytes, lag_seconds = self._lag.look(now, seen.written, archived)
        status = ArchiveStatus(
            at=datetime.now(UTC),
            system_id=server.system_id,
            timeline=server.timeline,
            written_lsn=format_lsn(seen.written),
            archived_lsn=format_lsn(archived),
            lag_bytes=lag_bytes,
            lag_seconds=round(lag_seconds, 3),
        )
        write_status(self._place, status)
        if now - self._logged_at >= _LOG_EVERY_SECONDS:
            self._logged_at = now
            say = _log.warning if lag_seconds > _WORRY_SECONDS else _log.info
            say(
                LAGGED if lag_seconds > _WORRY_SECONDS else REPORTED,
                archived_lsn=status.archived_lsn,
                lag_bytes=lag_bytes,
                lag_seconds=status.lag_seconds,
            )


def _end(receiver: "subprocess.Popen[bytes]") -> str:
    """Have the receiver write what it has and end; return what it complained about."""
    if receiver.poll() is None:
        receiver.send_signal(signal.SIGINT)
    try:
        _, said = receiver.communicate(timeout=_STOPS_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        receiver.kill()
        _, said = receiver.communicate()
    lines = said.decode(errors="replace").strip().splitlines()
    return "; ".join(lines[-2:])


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold a lock for as long as this process lives; raise ArchiverRunsError."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ArchiverRunsError(lock) from error
        yield
    finally:
        os.close(descriptor)
