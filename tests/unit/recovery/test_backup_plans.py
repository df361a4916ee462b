"""Which backups go, which one is meant, and what a manifest may say."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from recovery.backup.errors import ManifestError
from recovery.backup.manifest import (
    FileEntry,
    Manifest,
    StoreEntry,
    decode_manifest,
    encode_manifest,
    new_name,
)
from recovery.backup.place import Listed
from recovery.backup.prune import Retention, plan
from recovery.stores.looks import Unknown

NOW = datetime(2026, 5, 30, 12, tzinfo=UTC)


def a_backup(minutes_old: int, is_complete: bool = True) -> Listed:
    return Listed(new_name(NOW - timedelta(minutes=minutes_old)), is_complete, 100)


def a_manifest(path: str = "enrich-0/part-0.sqlite3", store: str = "enrich-0") -> Manifest:
    entry = StoreEntry(
        name=store,
        execution=0,
        workers=1,
        resume_epoch=7,
        rows=0,
        offsets={},
        places={},
        files=[FileEntry(path, 1, "0" * 64)],
    )
    unknown = Unknown("away")
    return Manifest(name="it", cut_at=NOW, stores=[entry], kafka=unknown, log=unknown, versions={})


def test_the_newest_stay_and_so_does_what_is_young() -> None:
    backups = [a_backup(age) for age in (500, 400, 20, 10, 5)]
    kept_two = plan(backups, Retention(2), NOW)
    assert [removal.name for removal in kept_two] == [backup.name for backup in backups[:3]]
    kept_young = plan(backups, Retention(2, timedelta(minutes=30)), NOW)
    assert [removal.name for removal in kept_young] == [backup.name for backup in backups[:2]]


def test_the_newest_backup_stays_however_old() -> None:
    assert plan([a_backup(99_999)], Retention(0), NOW) == []


def test_an_unfinished_backup_goes_after_an_hour_and_never_counts() -> None:
    old, young, finished = a_backup(61, False), a_backup(1, False), a_backup(200)
    removed = plan([old, young, finished], Retention(1), NOW)
    assert [(removal.name, removal.reason) for removal in removed] == [(old.name, "it was never finished")]


def test_a_manifest_survives_the_round_trip() -> None:
    assert decode_manifest("it", encode_manifest(a_manifest())) == a_manifest()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[1]",
        b"\xff",
        b'{"format": 2}',
        encode_manifest(a_manifest("../../etc/passwd")),
        encode_manifest(a_manifest("/etc/passwd")),
        encode_manifest(a_manifest(store="..")),
        encode_manifest(msgspec.structs.replace(a_manifest(), name="other")),
    ],
)
def test_a_manifest_that_cannot_be_used_is_named(data: bytes) -> None:
    with pytest.raises(ManifestError):
        decode_manifest("it", data)
