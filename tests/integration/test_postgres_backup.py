"""Base backups and the archived log, worked by their commands on a real PostgreSQL."""

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from local.servers.postgres import superuser_dsn
from settings import Settings
from storage.append import Expectation, StaleFenceError, append
from storage.streams import PackToAppend, Streams, StreamTop, stream_name
from tests.event_builders import a_goal, a_pass
from tests.fixtures.log_writer import SHARD, NewWriter, assert_sound, generation_of, log_of
from tests.fixtures.postgres_backups import SOON, Backups, NewBackups
from tests.fixtures.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]


def _now(database: psycopg.Connection) -> datetime:
    row = database.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    return row[0].astimezone(UTC)  # type: ignore[no-any-return]


def _ids(database: psycopg.Connection) -> list[str]:
    return [live.event.source_event_id for live in log_of(database)]


def test_a_moment_between_two_commits_has_the_first_and_not_the_second(
    new_backups: NewBackups, new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """And the restored log begins a new life: above every stream, closed to the writer from before."""
    backups, writer = new_backups("folder"), new_writer()
    writer.write(a_pass("before"))
    writer.settle()
    backups.archive()
    backups.do("backup")
    writer.write(a_pass("first"))
    writer.settle()
    between = _now(database)
    writer.write(a_pass("second"))
    writer.settle()
    backups.is_archived()
    forgotten = generation_of(database) + 10**12
    streams = Streams(backups.settings.redis)
    top = StreamTop(1, b"c" * 16)
    streams.append(
        [PackToAppend(stream_name(SHARD, forgotten), StreamTop(0, b"\0" * 16), top, b"", b"", True)]
    )
    streams.close()

    plan = backups.run("postgres", "restore", "--into", str(backups.folder / "plan"), "--dry-run")
    assert plan.returncode == 0
    assert "then replay" in plan.stderr
    assert not (backups.folder / "plan").exists()

    receipt, restored = backups.restore("--to-time", between.isoformat())
    with closing(psycopg.connect(restored.postgres, autocommit=True)) as there:
        assert _ids(there) == ["before", "first"]
        assert_sound(there)
        assert generation_of(there) == forgotten + 1
        with pytest.raises(StaleFenceError):
            owned = writer.committer._logs[SHARD].owned
            append(there, [Expectation(SHARD, owned.fence, 2)], [])
    assert datetime.fromisoformat(receipt["last_commit"]) <= between

    _, latest = backups.restore()
    with closing(psycopg.connect(latest.postgres, autocommit=True)) as there:
        assert _ids(there) == ["before", "first", "second"]
    assert _ids(database) == ["before", "first", "second"]


def test_a_bucket_has_the_last_commit_within_seconds(
    new_backups: NewBackups, new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """Of segments that were never filled, and of one that was; the archiver killed and stopped in between."""
    backups, writer = new_backups("s3"), new_writer()
    backups.archive()
    backups.kill_archiver()
    backups.do("backup")
    writer.write(a_pass("whole"))
    writer.settle()
    database.execute("SELECT pg_switch_wal()") if _may_switch(database) else None
    backups.archive()  # the receiver of the killed one still held the slot
    writer.write(a_goal("partial"))
    writer.settle()
    backups.is_archived()
    assert backups.stop_archiver() == 0
    assert backups.run("postgres", "verify").returncode == 0
    _, restored = backups.restore()
    with closing(psycopg.connect(restored.postgres, autocommit=True)) as there:
        assert _ids(there) == ["whole", "partial"]


def _may_switch(database: psycopg.Connection) -> bool:
    row = database.execute("SELECT has_function_privilege('pg_switch_wal()', 'execute')").fetchone()
    return row is not None and row[0]


def test_damage_holes_and_what_is_out_of_reach_are_refused_by_name(
    new_backups: NewBackups, new_writer: NewWriter, database: psycopg.Connection
) -> None:
    backups, writer = new_backups("folder"), new_writer()
    into = str(backups.folder / "restored")
    _refused(backups, "no base backup", "restore", "--into", into)
    backups.archive()
    before = _now(database)
    name = backups.do("backup")["name"]
    writer.write(a_pass("one"))
    writer.settle()
    between = _now(database).isoformat()
    writer.write(a_pass("two"))
    writer.settle()
    backups.is_archived()
    _refused(backups, f"that ended before {before.year}", "restore", "--into", into, "--to-time", str(before))
    late = (_now(database) + timedelta(hours=1)).isoformat()
    _refused(backups, "does not reach", "restore", "--into", into, "--to-time", late, "--promote")
    _refused(backups, "is not empty", "restore", "--into", into)

    assert backups.stop_archiver() == 0
    (wal,) = (backups.folder / "postgres" / "wal").glob("*/1")
    last = max(wal.iterdir())
    beyond = f"{int(last.name.removesuffix('.partial'), 16) + 2:024X}"
    (wal / beyond).write_bytes(last.read_bytes())
    _refused(backups, "is missing from the archive", "verify")
    _refused(backups, "--to-lsn", "restore", "--into", f"{into}-2")
    # Before the hole every moment is in reach, and so is its edge, which the remedy names.
    late_into = ("--into", f"{into}-3", "--to-time", late, "--promote")
    said = _refused(backups, "does not reach", "restore", *late_into)
    assert "is missing from the archive" in said
    edge = said.partition("--to-lsn ")[2].partition(",")[0]
    for target, there in ((("--to-time", between), ["one"]), (("--to-lsn", edge), ["one", "two"])):
        _, restored = backups.restore(*target)
        with closing(psycopg.connect(restored.postgres, autocommit=True)) as connection:
            assert _ids(connection) == there
    (wal / beyond).unlink()

    base = backups.folder / "postgres" / "base" / name / "base.tar.gz"
    with base.open("r+b") as file:
        file.seek(base.stat().st_size // 2)
        file.write(b"damage")
    _refused(backups, "was stored", "verify", name)
    _refused(backups, "was stored", "restore", "--into", f"{into}-2")


def _refused(backups: Backups, said: str, *arguments: str) -> str:
    done = backups.run("postgres", *arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_prune_keeps_what_the_newest_backups_need(new_backups: NewBackups) -> None:
    backups = new_backups("folder")
    backups.archive()
    names = [backups.do("backup")["name"] for _ in range(3)]
    pruned = backups.do("prune", "--keep", "2", "--keep-for", "0s", "--dry-run")
    assert pruned["backups"] == names[:1]
    assert backups.do("prune", "--keep", "2", "--keep-for", "0s")["wal_files"] >= 1
    assert [record["name"] for record in backups.do("list")["backups"]] == names[1:]
    assert backups.run("postgres", "verify", "--all").returncode == 0


def test_a_record_that_cannot_be_read_is_named_and_the_other_backups_go_on(new_backups: NewBackups) -> None:
    backups = new_backups("folder")
    sound, damaged = [backups.do("backup")["name"] for _ in range(2)]
    base = backups.folder / "postgres" / "base"
    record = base / damaged / "backup.json"
    record.write_bytes(record.read_bytes()[:100] + b"\xff")

    listing = backups.do("list")
    assert [record["name"] for record in listing["backups"]] == [sound]
    assert [one["name"] for one in listing["damaged"]] == [damaged]
    assert f"{damaged}: damaged, " in backups.run("postgres", "list").stdout
    for which in ((), ("--all",), (damaged,)):
        _refused(backups, damaged, "verify", *which)
    assert backups.run("postgres", "verify", sound).returncode == 0

    into = ("--into", str(backups.folder / "restored"))
    plan = backups.run("postgres", "restore", *into, "--dry-run", "--json")
    assert (plan.returncode, json.loads(plan.stdout)["backup"]) == (0, sound)
    assert f"{damaged}, is passed over" in plan.stderr
    _refused(backups, damaged, "restore", *into, "--backup", damaged)

    assert backups.do("prune", "--keep", "1", "--keep-for", "0s")["backups"] == []
    _refused(backups, damaged, "prune", "--damaged", sound)
    backups.archive("--backup-every", "1s", "--keep", "1")
    eventually(lambda: not (base / sound).exists(), SOON)
    assert backups.stop_archiver() == 0
    assert "base_backup.damaged" in backups.archiver_said
    assert len(backups.do("list")["backups"]) == 1
    assert backups.do("prune", "--damaged", damaged)["backups"] == [damaged]
    assert not (base / damaged).exists()
    assert backups.run("postgres", "verify").returncode == 0


def test_programs_are_told_what_would_be_done(
    new_backups: NewBackups, new_writer: NewWriter, database: psycopg.Connection
) -> None:
    backups, writer = new_backups("folder"), new_writer()
    writer.write(a_pass("one"))
    writer.settle()
    before = generation_of(database)
    assert backups.do("backup", "--dry-run")["is_done"] is False
    assert not list(backups.folder.glob("postgres/base/*"))
    name = backups.do("backup")["name"]
    drill = backups.run("drill", "--dry-run", "--json")
    assert (drill.returncode, json.loads(drill.stdout)["is_done"]) == (0, False)
    assert json.loads(drill.stdout)["backup"] == name

    assert backups.do("begin-lives", "--dry-run") == {"shards": [], "is_done": False}
    assert generation_of(database) == before
    begun = backups.do("begin-lives")
    assert begun["is_done"] is True
    (line,) = [line for line in begun["shards"] if line["shard"] == SHARD]
    assert (line["before"], line["generation"]) == (before, generation_of(database))
    assert generation_of(database) > before


def test_an_archiver_outlives_the_death_of_its_receiver_and_a_second_one_is_refused(
    new_backups: NewBackups, database: psycopg.Connection
) -> None:
    backups = new_backups("folder")
    backups.archive()
    row = database.execute("SELECT active_pid FROM pg_replication_slots").fetchone()
    assert row is not None
    database.execute("SELECT pg_terminate_backend(%s)", row)
    eventually(backups.is_archived, timedelta(seconds=20))
    second = backups.run("postgres", "archive")
    assert second.returncode == 1
    assert "another archiver" in second.stderr


def test_an_archive_takes_a_base_backup_when_one_is_due_and_begins_again_behind_a_hole(
    new_backups: NewBackups, stack: Settings
) -> None:
    """A hole is what the server did not keep: here its slot was given back for a while."""
    backups = new_backups("folder")
    due = ("--backup-every", "1h", "--keep", "1")
    assert "1h, 1 stay" in backups.run("postgres", "archive", *due, "--dry-run").stdout
    assert not backups.folder.exists()

    def names() -> list[str]:
        return [record["name"] for record in backups.do("list")["backups"]]

    backups.archive(*due)
    eventually(lambda: "base_backup.taken" in backups.archiver_said, SOON)
    assert backups.stop_archiver() == 0
    (first,) = names()
    assert backups.do("archive", "--drop")["is_done"]
    with closing(psycopg.connect(superuser_dsn(stack), autocommit=True)) as server:
        for _ in range(3):
            server.execute("SELECT pg_logical_emit_message(false, 'test', 'more'), pg_switch_wal()")
        server.execute("CHECKPOINT")  # removes the segments that nobody needs

    backups.archive(*due)
    (wal,) = (backups.folder / "postgres" / "wal").glob("*/1")
    eventually(lambda: list(wal.glob("until-*/*")), SOON)
    assert "archive.hole_began" in backups.archiver_said
    eventually(lambda: any(path.is_file() for path in wal.iterdir()), SOON)
    assert backups.stop_archiver() == 0
    # What was taken restores to the hole and not beyond it: another one is due, and with it the first may go.
    backups.archive(*due)
    eventually(lambda: first not in names(), SOON)
    assert backups.stop_archiver() == 0
    assert len(names()) == 1
    assert backups.run("postgres", "verify").returncode == 0
