"""Take a backup of all recovery stores while their lanes run."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from recovery.audit.meter import Meter
from recovery.backup.errors import NoStoresError
from recovery.backup.manifest import FileEntry, Manifest, StoreEntry, is_store_name, new_name
from recovery.backup.place import BackupPlace
from recovery.backup.verify import verify
from recovery.stores.finding import all_stores, stores_folder
from recovery.stores.looks import LogLook, look_at_kafka, look_at_log
from settings import Settings
from storage.recovery_store import Store, read_store
from storage.store_contents import read_contents
from storage.store_copy import copy_at, part_name
from storage.store_errors import StoreChangedError, StoreForeignError
from storage.store_file import SQLITE_VERSION

# A lane that closes a flow epoch in the middle of a copy costs one try. The
# backup interval of a lane (-b) is far longer than a copy takes.
TRIES = 5

Clock = Callable[[], datetime]


def create(
    settings: Settings, place: BackupPlace, clock: Clock, meter: Meter, check: bool = True
) -> Manifest:
    """Copy all stores at one cut, store the copies, write the manifest last; return it.

    `check` restores the backup into a scratch folder. Raises NoStoresError,
    StoreChangedError when the lanes were faster at every try, another
    StoreError for a store that cannot be read, PlaceError.
    """
    paths = all_stores(settings)
    if not paths:
        raise NoStoresError(str(stores_folder(settings)))
    for path in paths:
        if not is_store_name(path.name):
            raise StoreForeignError(path, "no store has such a name: letters, digits, - and _ only")
    with TemporaryDirectory(prefix="touchline-backup-") as scratch:
        meter.begin("copying", len(paths))
        cut_at, folder = _copy_at_one_cut(paths, Path(scratch), clock, meter)
        # Asked after the cut: what they say is never older than the copies.
        kafka, log = look_at_kafka(settings), look_at_log(settings)
        name = new_name(cut_at)
        stores = [_entry(folder / path.name) for path in paths]
        meter.begin("storing", sum(len(store.files) for store in stores))
        for store in stores:
            for file in store.files:
                place.put_file(name, file.path, folder / file.path)
                meter.advance(1)
        postgres = {"postgres": log.server_version} if isinstance(log, LogLook) else {}
        manifest = Manifest(
            name=name, cut_at=cut_at, stores=stores, kafka=kafka, log=log, versions=_versions() | postgres
        )
        place.put_manifest(manifest)
    return verify(place, name, meter) if check else place.manifest(name)


def _copy_at_one_cut(
    paths: Sequence[Path], scratch: Path, clock: Clock, meter: Meter
) -> tuple[datetime, Path]:
    """All resume epochs first, then the copies; anew when a lane has outrun them."""
    for attempt in range(TRIES):
        folder = scratch / str(attempt)
        cut_at = clock()
        cut: dict[Path, Store] = {path: read_store(path) for path in paths}
        try:
            for path, store in cut.items():
                copy_at(store, path, folder / path.name)
                meter.advance(1)
        except StoreChangedError:
            if attempt == TRIES - 1:
                raise
            meter.reached(0)
            continue
        return cut_at, folder
    raise AssertionError("the last try returns or raises")


def _entry(copy: Path) -> StoreEntry:
    store = read_store(copy)
    contents = read_contents(copy, store)
    return StoreEntry(
        name=copy.name,
        execution=store.last.number if store.last else None,
        workers=store.last.workers if store.last else 0,
        resume_epoch=store.resume_epoch,
        rows=contents.rows,
        offsets=contents.offsets,
        places=contents.places,
        files=[_file(copy, part_name(index)) for index in sorted(store.files)],
    )


def _file(copy: Path, part: str) -> FileEntry:
    data = (copy / part).read_bytes()
    return FileEntry(f"{copy.name}/{part}", len(data), hashlib.sha256(data).hexdigest())


def _versions() -> dict[str, str]:
    return {"bytewax": version("bytewax"), "sqlite": SQLITE_VERSION, "obstore": version("obstore")}
