"""Damage given to `inspect`, `backup verify` and `restore`: named, with an exit status, never a traceback."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from recovery.backup import command as backup
from recovery.backup.manifest import decode_manifest, encode_manifest
from recovery.prepare import hold_store
from recovery.stores.inspect_command import inspect
from recovery.stores.restore_command import restore, rewind
from settings import ROOT, Secret, Settings
from tests.fixtures.recovery_commands import Call
from tests.fixtures.recovery_stores import DAMAGES, READABLE, MakeStore, fill, partition, run_sql

REAL = ROOT.parent / "shared" / "real" / "sqlite_corrupt"


class Ground(NamedTuple):
    """An installation with one store and one backup of it."""

    settings: Settings
    store: Path
    backup: Path
    name: str

    def plant(self, file: Path) -> None:
        """Make a file the partition of the backup, as if it had been damaged before it was hashed."""
        manifest = decode_manifest(self.name, (self.backup / "manifest.json").read_bytes())
        data = file.read_bytes()
        [entry] = manifest.stores
        hashed = msgspec.structs.replace(
            entry.files[0], size=len(data), sha256=hashlib.sha256(data).hexdigest()
        )
        stores = [msgspec.structs.replace(entry, files=[hashed])]
        (self.backup / hashed.path).write_bytes(data)
        (self.backup / "manifest.json").write_bytes(
            encode_manifest(msgspec.structs.replace(manifest, stores=stores))
        )


@pytest.fixture
def ground(stack: Settings, make_store: MakeStore, tmp_path: Path, called: Call) -> Ground:
    """No topics and no tables of its own: the servers answer, and say that nothing is there."""
    settings = msgspec.structs.replace(stack, data=tmp_path / "data")
    store = settings.data / "recovery" / "enrich-0"
    fill(make_store(store))
    made = called(settings, backup.create, json=True)
    assert made.status == 0, made.err
    name = made.json["name"]
    return Ground(settings, store, Path(settings.backup_place) / "stores" / name, name)


def real_files() -> list[Path]:
    return sorted(REAL.glob("*.db"))


@pytest.mark.skipif(not real_files(), reason="the recorded damaged files are not beside the project")
def test_every_recorded_damaged_file_is_named_by_every_command(ground: Ground, called: Call) -> None:
    """As a path, as a store's only partition, and as a partition inside a backup."""
    settings, files = ground.settings, real_files()
    assert len(files) == 20
    stores = []
    for file in files:
        store = settings.data / "damaged" / file.stem
        store.mkdir(parents=True)
        shutil.copy(file, partition(store))
        stores.append(store)
    looked = called(settings, inspect, *map(str, files), *map(str, stores), json=True)
    assert looked.status == 1
    assert [report["error"] for report in looked.json["stores"]] == ["StoreDamagedError"] * 40
    shown = called(settings, inspect, *map(str, files))
    assert (shown.status, shown.out.count("StoreDamagedError")) == (1, 20)
    for path in (*files, *stores):
        for command in (backup.verify, restore):
            answer = called(settings, command, str(path), json=True)
            assert (answer.status, answer.json["error"]) == (1, "StoreDamagedError"), path
    for file in files:
        ground.plant(file)
        verified = called(settings, backup.verify, ground.name, json=True)
        assert (verified.status, verified.json[0]["error"]) == (1, "StoreDamagedError")
        restored = called(settings, restore, ground.name, json=True)
        assert (restored.status, restored.json["error"]) == (1, "StoreDamagedError")
    assert called(settings, inspect, "enrich-0").status == 0


def test_our_own_damage_is_named_by_every_command(
    ground: Ground, make_store: MakeStore, called: Call
) -> None:
    settings = ground.settings
    stores = []
    for damage in DAMAGES:
        store = settings.data / "damaged" / damage.name
        fill(make_store(store, 2))
        damage.do(store)
        stores.append(str(store))
    looked = called(settings, inspect, *stores, json=True)
    assert looked.status == 1
    assert [report["error"] for report in looked.json["stores"]] == [damage.error for damage in DAMAGES]
    assert all(report["reason"] and report["remedy"] for report in looked.json["stores"])
    for store_path, damage in zip(stores, DAMAGES, strict=True):
        for command in (backup.verify, restore):
            answer = called(settings, command, store_path, json=True)
            expected = "NotABackupError" if damage.name in READABLE else damage.error
            assert (answer.status, answer.json["error"]) == (1, expected)
        if damage.name not in READABLE:
            assert (
                called(settings, rewind, store_path, to_oldest=True, json=True).json["error"] == damage.error
            )


def test_a_state_that_runs_something_is_refused_by_every_command(
    ground: Ground, make_store: MakeStore, tmp_path: Path, called: Call
) -> None:
    """Also in the ring, of which nothing else is ever read."""
    settings, ran = ground.settings, tmp_path / "ran"
    hostile = make_store(tmp_path / "hostile")
    fill(hostile)
    run_sql(
        partition(hostile),
        "UPDATE snaps SET ser_change = ? WHERE step_id = 'enrich.dedupe'",
        f"cos\nsystem\n(S'touch {ran}'\ntR.".encode(),
    )
    ground.plant(partition(hostile))
    verified = called(settings, backup.verify, ground.name, json=True)
    assert (verified.status, verified.json[0]["error"]) == (1, "StateForeignError")
    restored = called(settings, restore, ground.name, json=True)
    assert (restored.status, restored.json["error"]) == (1, "StateForeignError")
    assert called(settings, inspect, "enrich-0").status == 0
    shutil.copy(partition(hostile), partition(ground.store))
    looked = called(settings, inspect, "enrich-0", json=True)
    assert (looked.status, looked.json["stores"][0]["error"]) == (1, "StateForeignError")
    made = called(settings, backup.create, json=True)
    assert (made.status, made.json["error"]) == (1, "StateForeignError")
    assert not ran.exists()


def test_a_backup_with_a_damaged_store_beside_is_not_made(ground: Ground, called: Call) -> None:
    """Half an installation under the name of a whole one would mislead whoever restores it."""
    broken = ground.store.with_name("enrich-1")
    broken.mkdir()
    partition(broken).write_bytes(b"no database")
    answer = called(ground.settings, backup.create, json=True)
    assert (answer.status, answer.json["error"]) == (1, "StoreDamagedError")
    assert len(called(ground.settings, backup.list_backups, json=True).json) == 1


@pytest.mark.parametrize(
    ("do", "error"),
    [
        (lambda ground: (ground.backup / "manifest.json").unlink(), "BackupIncompleteError"),
        (lambda ground: (ground.backup / "manifest.json").write_bytes(b"{}"), "ManifestError"),
        (lambda ground: partition(ground.backup / "enrich-0").unlink(), "BackupDamagedError"),
        (lambda ground: partition(ground.backup / "enrich-0").write_bytes(b"short"), "BackupDamagedError"),
        (lambda ground: shutil.rmtree(ground.backup), "BackupMissingError"),
    ],
    ids=["no_manifest", "manifest_of_nothing", "file_gone", "file_changed", "all_gone"],
)
def test_a_damaged_backup_is_named_and_changes_nothing(
    ground: Ground, called: Call, do: object, error: str
) -> None:
    assert callable(do)
    do(ground)
    before = ground.store.stat().st_ino
    verified = called(ground.settings, backup.verify, ground.name, json=True)
    assert (verified.status, verified.json[0]["error"]) == (1, error)
    restored = called(ground.settings, restore, ground.name, json=True)
    assert (restored.status, restored.json["error"]) == (1, error)
    assert ground.store.stat().st_ino == before
    assert [path.name for path in ground.store.parent.iterdir() if "." in path.name] in (
        [],
        ["enrich-0.lock"],
    )


def test_an_unfinished_backup_is_listed_as_such(ground: Ground, called: Call) -> None:
    (ground.backup / "manifest.json").unlink()
    [line] = called(ground.settings, backup.list_backups, json=True).json
    assert (line["name"], line["is_complete"]) == (ground.name, False)
    assert "incomplete" in called(ground.settings, backup.list_backups).out
    assert called(ground.settings, restore, json=True).json["error"] == "BackupMissingError"


def test_what_makes_no_sense_could_not_run(ground: Ground, called: Call) -> None:
    settings = ground.settings
    assert called(settings, restore, as_of="yesterday").status == 2
    assert called(settings, restore, match="m").status == 2
    assert called(settings, backup.prune).status == 2
    assert called(settings, backup.prune, keep=0).status == 2
    assert called(settings, backup.run, every="0s").status == 2
    under_a_file = msgspec.structs.replace(settings, backup=str(ground.backup / "manifest.json" / "x"))
    assert called(under_a_file, backup.create, json=True).json["error"] == "PlaceError"
    nothing = called(settings, inspect, "enrich-9", json=True)
    assert (nothing.status, nothing.json["stores"][0]["error"]) == (1, "StoreMissingError")
    assert called(settings, restore, store=("enrich-9",), json=True).json["error"] == "StoreNotInBackupError"


def test_verifying_all_backups_where_there_is_none_is_said(ground: Ground, called: Call) -> None:
    assert called(ground.settings, backup.verify, all=True).status == 0
    shutil.rmtree(ground.backup)
    nothing = called(ground.settings, backup.verify, all=True, json=True)
    assert (nothing.status, nothing.json["error"]) == (1, "BackupMissingError")
    assert "there is none at all" in nothing.err


def test_a_dry_run_is_refused_where_the_command_is(ground: Ground, called: Call) -> None:
    """And its answer is told from that of the command."""
    with a_held_store(ground.store):
        for dry in (
            called(ground.settings, restore, dry_run=True, json=True),
            called(ground.settings, rewind, "enrich-0", to_oldest=True, dry_run=True, json=True),
        ):
            assert (dry.status, dry.json["error"]) == (1, "StoreInUseError")
    before = ground.store.stat().st_ino
    for is_done in (False, True):
        restored = called(ground.settings, restore, dry_run=not is_done, json=True)
        rewound = called(ground.settings, rewind, "enrich-0", to_oldest=True, dry_run=not is_done, json=True)
        for answer in (restored, rewound):
            assert (answer.status, answer.json["is_done"]) == (0, is_done)
        assert (ground.store.stat().st_ino != before) == is_done
    assert Path(restored.json["puts"][0]["aside"]).is_dir()


@contextmanager
def a_held_store(store: Path) -> Iterator[None]:
    """As a lane has it."""
    held = hold_store(store)
    try:
        yield
    finally:
        held.release()


def test_with_a_key_only_signed_backups_are_used(ground: Ground, called: Call) -> None:
    """An older one is used when a person says so; one that was changed is not, whatever they say."""
    settings = msgspec.structs.replace(ground.settings, backup_key=Secret("a-key-of-many-letters"))
    for command in (backup.verify, restore):
        refused = called(settings, command, ground.name, json=True)
        answer = refused.json[0] if command is backup.verify else refused.json
        assert (refused.status, answer["error"]) == (1, "ManifestUnsignedError")
        assert "--accept-unsigned" in answer["remedy"]
    taken = called(settings, backup.verify, ground.name, accept_unsigned=True, json=True)
    assert (taken.status, taken.json[0]["signature"]) == (0, "unsigned")
    put = called(settings, restore, ground.name, accept_unsigned=True, json=True)
    assert (put.status, put.json["signature"]) == (0, "unsigned")
    assert "not signed" in put.err

    made = called(settings, backup.create, json=True)
    assert made.status == 0
    name = made.json["name"]
    assert called(settings, backup.verify, name, json=True).json[0]["signature"] == "valid"
    assert called(settings, restore, name, json=True).json["signature"] == "valid"
    assert called(ground.settings, restore, name, json=True).json["signature"] == "unchecked"
    plain = called(ground.settings, backup.verify, name)
    assert (plain.status, "was not checked" in plain.err) == (0, True)
    newer = msgspec.structs.replace(settings, backup_key=Secret("another-key-of-many, a-key-of-many-letters"))
    assert called(newer, restore, name, json=True).json["signature"] == "valid"

    manifest = ground.backup.with_name(name) / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"rows": ', b'"rows": 1'))
    for options in ({}, {"accept_unsigned": True}):
        for command in (backup.verify, restore):
            refused = called(settings, command, name, json=True, **options)
            answer = refused.json[0] if command is backup.verify else refused.json
            assert (refused.status, answer["error"]) == (1, "ManifestForgedError")
            assert "key-of-many" not in refused.out + refused.err


@pytest.mark.parametrize("name", ["../enrich-9", "/tmp/enrich-9", "enrich-0.lock", "a\x1b[31mb", ".."])
def test_a_store_that_a_manifest_calls_otherwise_is_put_nowhere(
    ground: Ground, called: Call, name: str, tmp_path: Path
) -> None:
    """Every command that reads the manifest refuses it; those that only list never join the name."""
    manifest = ground.backup / "manifest.json"
    manifest.write_bytes(
        manifest.read_bytes().replace(b'"name": "enrich-0"', b'"name": ' + msgspec.json.encode(name))
    )
    before = sorted(tmp_path.rglob("*"))
    for command in (backup.verify, restore):
        refused = called(ground.settings, command, ground.name, json=True)
        answer = refused.json[0] if command is backup.verify else refused.json
        assert (refused.status, answer["error"]) == (1, "ManifestError")
        assert "\x1b" not in refused.err
    assert [line["name"] for line in called(ground.settings, backup.list_backups, json=True).json] == [
        ground.name
    ]
    assert called(ground.settings, backup.prune, keep=1, json=True).json == []
    assert sorted(tmp_path.rglob("*")) == before
