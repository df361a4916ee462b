"""Which backups go, which one is meant, and what a manifest may say."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from recovery.backup.errors import BackupMissingError, ManifestError
from recovery.backup.manifest import (
    Manifest,
    decode_manifest,
    encode_manifest,
    moment_of,
    new_name,
)
from recovery.backup.place import BackupPlace, Listed
from recovery.backup.prune import Retention, plan
from tests.manifests import NOW, a_manifest


def a_backup(minutes_old: int, is_complete: bool = True) -> Listed:
    return Listed(new_name(NOW - timedelta(minutes=minutes_old)), is_complete, 100)


def twice(manifest: Manifest) -> Manifest:
    return msgspec.structs.replace(manifest, stores=manifest.stores * 2)


def of_shard(manifest: Manifest, key: str) -> Manifest:
    [store] = manifest.stores
    offsets = {key: {"broadcast-events": 1}}
    return msgspec.structs.replace(manifest, stores=[msgspec.structs.replace(store, offsets=offsets)])


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
        *(
            encode_manifest(a_manifest(f"{store}/part-0.sqlite3", store))
            for store in (
                "",
                ".",
                "a/b",
                "a\\b",
                "a\x00b",
                "a\x1b[31m",
                "a b",
                "-rf",
                "\u202e",
                "x" * 200,
                "enrich-0.lock",
                "enrich-0.restoring-1",
            )
        ),
        *(
            encode_manifest(a_manifest(f"enrich-0/{part}"))
            for part in (
                "",
                "part-0.sqlite3-wal",
                "part-0.sqlite3\n",
                "part-00.sqlite3",
                "x/part-0.sqlite3",
                "PART-0.sqlite3",
                "../enrich-1/part-0.sqlite3",
            )
        ),
        encode_manifest(a_manifest("enrich-1/part-0.sqlite3")),
        encode_manifest(twice(a_manifest())),
        encode_manifest(of_shard(a_manifest(), "9" * 5000)),
        encode_manifest(of_shard(a_manifest(), "../x")),
        encode_manifest(msgspec.structs.replace(a_manifest(), name="other")),
    ],
)
def test_a_manifest_that_cannot_be_used_is_named(data: bytes) -> None:
    with pytest.raises(ManifestError):
        decode_manifest("it", data)


@pytest.mark.parametrize(
    "name",
    [
        "20260530T120000Z-..",
        "20260530T120000Z-/../../x",
        "20260530T120000Z-abcde\x1b",
        "20260530T120000Z-abcdef\n",
        "20260530T120000Z",
        "20261330T120000Z-abcdef",
        "..",
    ],
)
def test_only_what_is_called_as_ours_is_a_backup(name: str, tmp_path: Path) -> None:
    """What a bucket lists is printed, joined with paths and deleted."""
    assert moment_of(name) is None
    (tmp_path / "stores" / "x").mkdir(parents=True)
    (tmp_path / "manifest.json").write_bytes(encode_manifest(a_manifest()))
    with pytest.raises(BackupMissingError):
        BackupPlace(str(tmp_path)).manifest(name)
