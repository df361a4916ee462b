"""Prove that a backup can be restored: hashes, every page, and what it says of itself."""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

from recovery.audit.meter import Meter
from recovery.backup.errors import BackupDamagedError
from recovery.backup.manifest import Manifest, StoreEntry
from recovery.backup.place import BackupPlace
from storage.recovery_store import read_store
from storage.store_contents import read_contents


def verify(place: BackupPlace, name: str, meter: Meter) -> Manifest:
    """Restore a backup into a scratch folder and check it; return its manifest.

    Raises BackupDamagedError, a StoreError for a copy that is no sound
    store, or what reading the manifest raises.
    """
    manifest = place.manifest(name)
    meter.begin("verifying", len(manifest.stores))
    with TemporaryDirectory(prefix="touchline-verify-") as scratch:
        for store in manifest.stores:
            fetch_store(place, manifest, store, Path(scratch) / store.name)
            meter.advance(1)
    return manifest


def fetch_store(place: BackupPlace, manifest: Manifest, entry: StoreEntry, into: Path) -> None:
    """Write one store of a backup into a new directory, checked; raise as `verify` does."""
    into.mkdir(parents=True)
    for file in entry.files:
        try:
            data = place.file(manifest.name, file.path, file.size)
        except FileNotFoundError as error:
            raise BackupDamagedError(manifest.name, file.path, "it is not there") from error
        if isinstance(data, int):
            reason = f"{data:,} bytes, the manifest says {file.size:,}"
            raise BackupDamagedError(manifest.name, file.path, reason)
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise BackupDamagedError(manifest.name, file.path, "its SHA-256 is not that of the manifest")
        (into / Path(file.path).name).write_bytes(data)
    store = read_store(into, check=True)
    contents = read_contents(into, store)
    if (store.resume_epoch, contents.offsets, contents.places, contents.rows, contents.unclosed_rows) != (
        entry.resume_epoch,
        entry.offsets,
        entry.places,
        entry.rows,
        0,
    ):
        raise BackupDamagedError(manifest.name, entry.name, "its snapshots are not those of the manifest")
