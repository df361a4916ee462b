"""Put a data folder together from a base backup and the archived log: ready to replay up to a target."""

import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from recovery.postgres.backup_record import BackupRecord, DamagedBackup, stamp
from recovery.postgres.errors import BackupDamagedError, FolderInUseError, NoBaseBackupError
from recovery.postgres.lsn import PARTIAL, format_lsn, parse_lsn
from recovery.postgres.place import Place
from recovery.postgres.programs import ServerUser
from recovery.postgres.target import Target
from recovery.postgres.upkeep import Advance, fetch
from recovery.postgres.wal_archive import WalFile, WalRun, wal_after

# Inside the data folder, gone once the server is promoted.
WAL_FOLDER = "touchline-restore-wal"
REACHED = "reached"
_MARK = "# added by python -m recovery postgres restore"


class Plan(NamedTuple):
    """What a restore will do."""

    record: BackupRecord
    wal: WalRun
    target: Target
    into: Path
    passed_over: tuple[DamagedBackup, ...] = ()  # would have been chosen, could they be used

    @property
    def size(self) -> int:
        return self.record.size + self.wal.size

    @property
    def settings(self) -> dict[str, str]:
        """What the server needs to be told of the target; told of none, it replays all there is.

        So it does up to the very edge of a hole: it takes a place for reached
        with the first record that begins there, and that one is missing.
        """
        hole = self.wal.hole
        is_all = hole is not None and self.target.position == hole.at
        return {} if is_all else self.target.settings

    def lines(self) -> Iterator[str]:
        """The plan in words."""
        record, wal = self.record, self.wal
        finished = record.finished_at.isoformat(timespec="seconds")
        yield f"restore into {self.into}, up to {self.target}"
        yield f"  base backup {record.name} of {finished}, {record.size / 2**20:,.1f} MB packed"
        for damaged in self.passed_over:
            yield f"  a newer one, {damaged.name}, is passed over: {damaged.reason}"
        if wal.files:
            last = wal.files[-1].kept
            until = last.modified_at.isoformat(timespec="seconds")
            yield (
                f"  then replay {len(wal.files)} segments of the log, {wal.size / 2**20:,.1f} MB,"
                f" from {record.start_lsn} to at most {last.name} (written {until})"
            )
        else:
            yield "  the archive has nothing after it: what came later is lost from PostgreSQL"
        if wal.hole is not None:
            yield f"  {wal.hole}: what came behind {wal.hole.last_lsn} is out of reach"
        yield (
            "  on a new timeline; every shard begins a new life of its log, and whoever wrote before is"
            " refused; what the log lacks is read from Kafka again when lanes start"
        )


def plan_restore(place: Place, into: Path, target: Target, name: str | None) -> Plan:
    """Choose the backup and its log; raise PostgresBackupError when it cannot be done."""
    into = into.absolute()
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise FolderInUseError(into)
    if name is None:
        record, passed_over = _newest_before(place, target)
    else:
        record, passed_over = place.record(name), ()
        if not _is_before(record, target):
            raise NoBaseBackupError(f"{name} that ended before {target}", [name])
    return Plan(record, wal_after(place, record, target), target, into, passed_over)


def _newest_before(place: Place, target: Target) -> tuple[BackupRecord, tuple[DamagedBackup, ...]]:
    """And the unusable ones after it that began before the target, as far as their names tell."""
    finished = place.finished()
    fitting = [record for record in finished.records if _is_before(record, target)]
    if not fitting:
        raise finished.none(f"that ended before {target}")
    newest = fitting[-1]
    return newest, tuple(
        damaged
        for damaged in finished.unusable
        if damaged.name > newest.name and (target.time is None or damaged.name < stamp(target.time))
    )


def _is_before(record: BackupRecord, target: Target) -> bool:
    if target.time is not None:
        return record.finished_at <= target.time
    return target.position is None or parse_lsn(record.end_lsn) <= target.position


def fetch_wal(place: Place, plan: Plan, folder: Path, advance: Advance) -> None:
    """Bring the log into a folder under the names that the server asks for."""
    folder.mkdir(parents=True, exist_ok=True)
    for kept in plan.wal.histories:
        (folder / kept.name).write_bytes(place.read(kept.path))
    for file in plan.wal.files:
        _fetch_segment(place, file, folder, plan.record.segment_bytes, advance)


def _fetch_segment(place: Place, file: WalFile, folder: Path, segment_bytes: int, advance: Advance) -> None:
    path = folder / file.name
    try:
        _copy(place, file.kept.path, path, advance)
    except FileNotFoundError:
        # It was being written when we listed it, and became whole since.
        _copy(place, file.kept.path.removesuffix(PARTIAL), path, advance)
    if path.stat().st_size < segment_bytes:
        os.truncate(path, segment_bytes)  # of a growing segment only what was written is stored


def _copy(place: Place, source: str, path: Path, advance: Advance) -> None:
    with path.open("wb") as file:
        for chunk in place.chunks(source):
            file.write(chunk)
            advance(len(chunk))


def lay_out(
    place: Place, plan: Plan, user: ServerUser | None, advance: Advance, wal: Path | None = None
) -> None:
    """Make the data folder; cut off anywhere it stays beside its final name.

    `wal` is a folder to which the log was brought before; it is moved in.
    """
    making = plan.into.with_name(plan.into.name + ".restoring")
    shutil.rmtree(making, ignore_errors=True)
    packed = making / "packed"
    packed.mkdir(parents=True)
    data = making / "data"
    fetch(place, plan.record, packed, advance)
    _unpack(plan.record, packed / "base.tar.gz", data)
    _unpack(plan.record, packed / "pg_wal.tar.gz", data / "pg_wal")
    shutil.copyfile(packed / "backup_manifest", data / "backup_manifest")
    if wal is None:
        fetch_wal(place, plan, data / WAL_FOLDER, advance)
    else:
        shutil.move(wal, data / WAL_FOLDER)
    _drop_shorter(data)
    _configure(data, plan)
    data.chmod(0o700)
    if user is not None:
        _hand_over(data, user)
    if plan.into.exists():
        plan.into.rmdir()
    data.rename(plan.into)
    shutil.rmtree(making)


def _unpack(record: BackupRecord, archive: Path, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(into, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise BackupDamagedError(record.name, f"{archive.name}: {error}") from error


def _drop_shorter(data: Path) -> None:
    """Of a segment that backup and archive both have, keep the one with more in it.

    The server takes the archive's without looking; when the archiver was
    down at the backup's end, that one ends too early.
    """
    for path in (data / WAL_FOLDER).iterdir():
        own = data / "pg_wal" / path.name
        if own.is_file() and _written(own) > _written(path):
            path.unlink()


def _written(segment: Path) -> int:
    return len(segment.read_bytes().rstrip(b"\0"))


def _configure(data: Path, plan: Plan) -> None:
    """Tell the server where the log is and where to stop."""
    folder = plan.into / WAL_FOLDER
    values = {
        # The second part lets an onlooker see how far it is.
        "restore_command": f'cp "{folder}/%f" "%p" && echo %f > "{folder}/{REACHED}"',
        # Not "latest": another restore of the same backup may have left a newer one in the archive.
        "recovery_target_timeline": "current",
        "recovery_target_action": "promote",
        **plan.settings,
    }
    with (data / "postgresql.auto.conf").open("a") as file:
        for name, value in values.items():
            file.write(f"{name} = '{value}' {_MARK}\n")
    (data / "recovery.signal").touch()


def tidy(data: Path) -> None:
    """After the promotion: forget where the log came from."""
    shutil.rmtree(data / WAL_FOLDER, ignore_errors=True)
    path = data / "postgresql.auto.conf"
    lines = path.read_text().splitlines(keepends=True)
    # In place: the file belongs to the server's user.
    path.write_text("".join(line for line in lines if not line.rstrip().endswith(_MARK)))


def _hand_over(folder: Path, user: ServerUser) -> None:
    for root, _, files in os.walk(folder):
        os.chown(root, user.uid, user.gid)
        for name in files:
            os.chown(Path(root) / name, user.uid, user.gid, follow_symlinks=False)


def reached(plan: Plan) -> int:
    """How many segments the server has asked for so far."""
    try:
        name = (plan.into / WAL_FOLDER / REACHED).read_text().strip()
    except OSError:
        return 0
    return sum(1 for file in plan.wal.files if file.name <= name)


def end_of(plan: Plan) -> str:
    """The last place that the plan's log can reach, for people."""
    size = plan.record.segment_bytes
    if not plan.wal.files:
        return plan.record.end_lsn
    return format_lsn((plan.wal.files[-1].segment.number + 1) * size)
