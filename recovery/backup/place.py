"""Where backups are kept: a folder, or a bucket of S3."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, from_url

from recovery.backup.errors import BackupIncompleteError, BackupMissingError, ManifestError, PlaceError
from recovery.backup.manifest import (
    LARGEST_MANIFEST,
    MANIFEST,
    Manifest,
    decode_manifest,
    encode_manifest,
    moment_of,
)
from recovery.signatures import Keyring, Standing

# Beside other things that an installation may keep there.
_FOLDER = "stores"
# obstore's own retries, with jitter: a bucket that is away is said within half a minute.
_RETRIES = 5
_RETRIED_FOR = timedelta(seconds=20)
_DELETED_AT_ONCE = 500


class Listed(NamedTuple):
    """A backup as the place lists it, finished or not."""

    name: str
    is_complete: bool
    size: int


def folder_of(url: str) -> Path | None:
    """The folder that a place is; None for one elsewhere."""
    if url.startswith("file://"):
        return Path(unquote(urlsplit(url).path))
    return None if "://" in url else Path(url).absolute()


class BackupPlace:
    """Backups by name; every error of the place is a PlaceError."""

    def __init__(self, url: str, keys: Keyring | None = None) -> None:
        self.url = url
        self._keys = keys or Keyring()
        with self._named():
            if "://" in url:
                is_local = url.startswith("file://")
                self._store = (
                    from_url(url, mkdir=True)
                    if is_local
                    else from_url(url, retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRIED_FOR})
                )
            else:
                self._store = LocalStore(Path(url).absolute(), mkdir=True)

    def listed(self) -> list[Listed]:
        """All backups, oldest first; those without a manifest too."""
        found: dict[str, tuple[bool, int]] = {}
        with self._named():
            for batch in obstore.list(self._store, prefix=f"{_FOLDER}/"):
                for item in batch:
                    name, _, rest = item["path"].removeprefix(f"{_FOLDER}/").partition("/")
                    if moment_of(name) is None:
                        continue  # no backup of ours
                    is_complete, size = found.get(name, (False, 0))
                    found[name] = (is_complete or rest == MANIFEST, size + item["size"])
        return [Listed(name, *found[name]) for name in sorted(found)]

    def manifest(self, name: str) -> Manifest:
        """Read a backup's manifest; raise BackupMissingError, BackupIncompleteError, ManifestError."""
        path = f"{_FOLDER}/{name}/{MANIFEST}"
        try:
            if moment_of(name) is None:
                raise FileNotFoundError(path)  # such a name would lead elsewhere
            with self._named():
                found = obstore.get(self._store, path)
                size = found.meta["size"]
                data = bytes(found.bytes()) if size <= LARGEST_MANIFEST else b""
        except FileNotFoundError as error:
            listed = self.listed()
            if any(backup.name == name for backup in listed):
                raise BackupIncompleteError(name) from error
            raise BackupMissingError(name, [b.name for b in listed if b.is_complete]) from error
        if size > LARGEST_MANIFEST:
            raise ManifestError(name, f"it has {size:,} bytes")
        return decode_manifest(name, data, self._keys)

    def standing(self, manifest: Manifest) -> Standing:
        """How far a manifest of this place is proven."""
        return self._keys.standing_of(manifest.signature)

    def put_file(self, name: str, path: str, file: Path) -> None:
        """Store a file of a backup."""
        with self._named():
            obstore.put(self._store, f"{_FOLDER}/{name}/{path}", file)

    def put_manifest(self, manifest: Manifest) -> None:
        """Finish a backup, signed where there is a key; refuses when one of the name is finished already."""
        try:
            with self._named():
                path = f"{_FOLDER}/{manifest.name}/{MANIFEST}"
                obstore.put(self._store, path, encode_manifest(manifest, self._keys), mode="create")
        except AlreadyExistsError as error:
            raise PlaceError(self.url, f"backup {manifest.name} is there already") from error

    def file(self, name: str, path: str, size: int) -> bytes | int:
        """A file of a backup, or how large it is when that is not `size`; raise FileNotFoundError."""
        with self._named():
            found = obstore.get(self._store, f"{_FOLDER}/{name}/{path}")
            return bytes(found.bytes()) if found.meta["size"] == size else int(found.meta["size"])

    def delete(self, name: str) -> None:
        """Remove a backup: its manifest first, so that one that is half removed does not exist."""
        with self._named():
            paths = [
                item["path"]
                for batch in obstore.list(self._store, prefix=f"{_FOLDER}/{name}/")
                for item in batch
            ]
            manifest = f"{_FOLDER}/{name}/{MANIFEST}"
            if manifest in paths:
                paths.remove(manifest)
                obstore.delete(self._store, manifest)
            for first in range(0, len(paths), _DELETED_AT_ONCE):
                obstore.delete(self._store, paths[first : first + _DELETED_AT_ONCE])

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, AlreadyExistsError):
            raise
        except (BaseError, OSError, ValueError) as error:
            lines = str(error).splitlines()
            raise PlaceError(self.url, lines[0] if lines else type(error).__name__) from error
