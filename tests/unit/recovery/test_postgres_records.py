"""Records of base backups: which can be worked with, and what damaged ones mean for the others."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recovery.postgres.backup_record import (
    FILES,
    RECORD,
    BackupRecord,
    FileEntry,
    decode_record,
    encode_record,
    new_name,
)
from recovery.postgres.errors import BackupDamagedError, BackupUnsignedError, NoBaseBackupError
from recovery.postgres.place import BASE, Place
from recovery.postgres.restore import plan_restore
from recovery.postgres.target import Target
from recovery.postgres.upkeep import plan_prune
from recovery.signatures import Keyring, Standing

AT = datetime(2026, 3, 16, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)


def _record(at: datetime) -> BackupRecord:
    return BackupRecord(
        name=new_name(at),
        started_at=at,
        finished_at=at + timedelta(minutes=1),
        system_id=1,
        timeline=1,
        start_lsn="0/3000028",
        end_lsn="0/3000120",
        segment_bytes=16 * 1024 * 1024,
        server_version="18",
        shards=[],
        files=[FileEntry(name, 1, "0" * 64) for name in FILES],
    )


def _kept(place: Place, at: datetime, *, is_damaged: bool = False, keys: Keyring | None = None) -> str:
    record = _record(at)
    data = encode_record(record, keys)
    place.put(f"{BASE}/{record.name}/{RECORD}", data[: len(data) // 2] if is_damaged else data)
    return record.name


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:40],
        lambda data: data.replace(b'"18"', b'"1\xff"'),
        lambda data: b"[" * 100_000,
        lambda data: data.replace(b"0/3000028", b"0/30000Z8"),
        lambda data: data.replace(b"20:01:00Z", b"20:01:00"),
        lambda data: data.replace(b"16777216", b"0"),
        lambda data: data.replace(b"20260316T", b"20260315T"),
        lambda data: data.replace(b"base.tar.gz", b"../../etc/x"),
        lambda data: data.replace(b"base.tar.gz", b"/etc/x"),
        lambda data: data.replace(b"base.tar.gz", b"backup.json"),
        lambda data: data.replace(b"base.tar.gz", b"pg_wal.tar.gz"),
    ],
    ids=[
        "cut",
        "no_text",
        "deep",
        "no_place",
        "no_zone",
        "no_size",
        "of_another",
        "file_above",
        "file_elsewhere",
        "file_of_ours",
        "file_twice",
    ],
)
def test_a_record_that_cannot_be_worked_with_names_its_backup(change: object) -> None:
    assert callable(change)
    record = _record(AT)
    data = encode_record(record)
    assert decode_record(record.name, data) == record
    assert change(data) != data
    with pytest.raises(BackupDamagedError, match=record.name):
        decode_record(record.name, change(data))


def test_a_restore_names_the_damaged_backups_it_would_have_begun_from(tmp_path: Path) -> None:
    """Not those from before the one it takes, nor from after the moment asked for."""
    place = Place(str(tmp_path / "place"))
    damaged = [_kept(place, AT + hours * HOUR, is_damaged=True) for hours in (0, 2, 4)]
    sound = _kept(place, AT + HOUR)
    into = tmp_path / "into"
    latest = plan_restore(place, into, Target(), None)
    assert latest.record.name == sound
    assert [one.name for one in latest.passed_over] == damaged[1:]
    assert any(damaged[2] in line for line in latest.lines())
    at_three = plan_restore(place, into, Target(time=AT + 3 * HOUR), None)
    assert [one.name for one in at_three.passed_over] == damaged[1:2]
    with pytest.raises(NoBaseBackupError, match=damaged[0]):
        plan_restore(place, into, Target(time=AT), None)


def test_a_damaged_backup_neither_stays_for_another_nor_goes_unasked(tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    sound = [_kept(place, AT + hours * HOUR) for hours in (0, 1)]
    damaged = [_kept(place, AT + hours * HOUR, is_damaged=True) for hours in (2, 3)]
    now = AT + 100 * HOUR
    assert plan_prune(place, 2, timedelta(), now).paths == []
    assert plan_prune(place, 1, timedelta(), now).backups == sound[:1]
    leaving = plan_prune(place, 2, timedelta(), now, damaged[1:])
    assert leaving.backups == damaged[1:]
    assert leaving.paths == [f"{BASE}/{damaged[1]}/{RECORD}"]
    with pytest.raises(NoBaseBackupError, match="damaged"):
        plan_prune(place, 2, timedelta(), now, sound[1:])


OURS, THEIRS = Keyring((b"k" * 32,)), Keyring((b"t" * 32,))


def test_a_restore_begins_from_a_signed_backup_and_names_the_newer_ones_that_are_not(tmp_path: Path) -> None:
    """One that somebody else signed is damaged, one without a signature waits for a person's word."""
    kept = Place(str(tmp_path / "place"))
    signed = _kept(kept, AT, keys=OURS)
    unsigned, foreign = _kept(kept, AT + HOUR), _kept(kept, AT + 2 * HOUR, keys=THEIRS)
    place, into = Place(kept.url, OURS), tmp_path / "into"
    latest = plan_restore(place, into, Target(), None)
    assert latest.record.name == signed
    assert place.keys.standing_of(latest.record.signature) is Standing.VALID
    assert [one.name for one in latest.passed_over] == [unsigned, foreign]
    with pytest.raises(BackupUnsignedError, match=unsigned) as refused:
        plan_restore(place, into, Target(), unsigned)
    assert "--accept-unsigned" in refused.value.remedy
    with pytest.raises(BackupDamagedError, match="none of the keys"):
        plan_restore(place, into, Target(), foreign)
    trusting = Place(kept.url, Keyring((b"k" * 32,), accepts_unsigned=True))
    taken = plan_restore(trusting, into, Target(), None)
    assert (taken.record.name, [one.name for one in taken.passed_over]) == (unsigned, [foreign])
    assert trusting.keys.standing_of(taken.record.signature) is Standing.UNSIGNED


def test_unsigned_backups_stay_and_go_by_age_as_they_did_before_there_was_a_key(tmp_path: Path) -> None:
    kept = Place(str(tmp_path))
    names = [_kept(kept, AT + hours * HOUR) for hours in range(3)]
    with pytest.raises(NoBaseBackupError, match="not signed") as refused:
        plan_restore(Place(kept.url, OURS), tmp_path / "into", Target(), None)
    assert "--accept-unsigned" in refused.value.remedy
    leaving = plan_prune(Place(kept.url, OURS), 2, timedelta(), AT + 100 * HOUR)
    assert leaving.backups == names[:1]


@pytest.mark.parametrize("name", ["..", "../x", "20260316T200000Z-abcdef/../x", "20260316T200000Z-\x1b[31mx"])
def test_a_backup_is_looked_for_under_names_of_ours_only(name: str, tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    place.put(f"{BASE}/20260316T200000Z-odd/{RECORD}", encode_record(_record(AT)))
    with pytest.raises(NoBaseBackupError):
        place.record(name)
    found = place.finished()
    assert not found.records
    assert not found.damaged


def test_a_finished_backup_is_signed_where_there_is_a_key(tmp_path: Path) -> None:
    for keys, standing in ((OURS, Standing.VALID), (Keyring(), Standing.UNSIGNED)):
        place = Place(str(tmp_path), keys)
        finished = place.finish(_record(AT))
        assert keys.standing_of(finished.signature) is standing
        assert place.record(finished.name) == finished
