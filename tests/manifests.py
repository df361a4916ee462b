"""Builders of what backups of recovery stores say of themselves."""

from datetime import UTC, datetime

from recovery.backup.manifest import FileEntry, Manifest, StoreEntry
from recovery.stores.looks import Unknown

NOW = datetime(2026, 5, 30, 12, tzinfo=UTC)


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
