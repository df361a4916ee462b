"""What a backup says of itself. Written last: without it a backup does not exist."""

import secrets
from datetime import UTC, datetime

import msgspec

from recovery.backup.errors import ManifestError
from recovery.stores.looks import KafkaLook, LogLook, Unknown
from storage.store_contents import Place

FORMAT = 1
MANIFEST = "manifest.json"
_STAMP = "%Y%m%dT%H%M%S"


class FileEntry(msgspec.Struct, frozen=True):
    """One file of a backup."""

    path: str  # below the backup's own folder
    size: int
    sha256: str


class StoreEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One store, as of the flow epoch at which the copy resumes."""

    name: str
    execution: int | None
    workers: int
    resume_epoch: int
    rows: int
    offsets: dict[str, dict[str, int]]
    places: dict[str, Place]
    files: list[FileEntry]  # by partition


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A whole backup: all stores of an installation at one cut."""

    format: int = FORMAT
    name: str
    cut_at: datetime  # when the resume epochs were read
    stores: list[StoreEntry]
    kafka: KafkaLook | Unknown  # ends and heads as of right after the cut
    log: LogLook | Unknown
    versions: dict[str, str]

    @property
    def size(self) -> int:
        return sum(file.size for store in self.stores for file in store.files)

    @property
    def store_names(self) -> list[str]:
        return [store.name for store in self.stores]


class _Header(msgspec.Struct):
    format: int


def new_name(cut_at: datetime) -> str:
    """A name that sorts by time, and that no other process makes in the same second."""
    return f"{cut_at.astimezone(UTC).strftime(_STAMP)}Z-{secrets.token_hex(3)}"


def moment_of(name: str) -> datetime | None:
    """When a backup of this name was begun; None when no backup is called so."""
    try:
        return datetime.strptime(name.partition("Z-")[0], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def decode_manifest(name: str, data: bytes) -> Manifest:
    """Read a manifest; raise ManifestError."""
    try:
        found = msgspec.json.decode(data, type=_Header).format
        if found != FORMAT:
            raise ManifestError(name, f"it has format {found}, this program knows {FORMAT}")
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ManifestError(name, str(error)) from error
    if manifest.name != name:
        raise ManifestError(name, f"it is of backup {manifest.name}")
    for store in manifest.stores:
        for path in (store.name, *(file.path for file in store.files)):
            if not path or path.startswith("/") or ".." in path.split("/") or not path.isprintable():
                raise ManifestError(name, f"{path!r} leads out of the backup")
    return manifest


def encode_manifest(manifest: Manifest) -> bytes:
    """For people too: indented."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1)
