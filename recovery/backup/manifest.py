"""What a backup says of itself. Written last: without it a backup does not exist."""

import re
import secrets
from datetime import UTC, datetime

import msgspec

from recovery.backup.errors import ManifestError, ManifestForgedError, ManifestUnsignedError
from recovery.signatures import UNSIGNED_YET, Keyring, Kind, Standing
from recovery.stores.looks import KafkaLook, LogLook, Unknown
from storage.store_contents import Place

FORMAT = 1
MANIFEST = "manifest.json"
# A manifest of 1,024 shards has half a megabyte.
LARGEST_MANIFEST = 16 * 1024 * 1024
# Of 64 shards and their points: a few hundred megabytes at most.
LARGEST_PARTITION = 16 * 1024**3
_STAMP = "%Y%m%dT%H%M%S"
_NAME = re.compile(r"(\d{8}T\d{6})Z-[0-9a-f]{6}", re.ASCII)
# One component of a path, and nothing that stands beside a store under its name (`enrich-0.lock`).
_STORE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}", re.ASCII)
_PART = re.compile(r"part-(0|[1-9]\d{0,3})\.sqlite3", re.ASCII)
_SHARD = re.compile(r"\d{1,5}", re.ASCII)


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

    signature: str = ""  # first, so that what is signed are the bytes around it
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
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    try:
        return datetime.strptime(found[1], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def is_store_name(name: str) -> bool:
    """Whether a folder may be called so: what a manifest says is joined with a path."""
    return _STORE.fullmatch(name) is not None


def decode_manifest(name: str, data: bytes, keys: Keyring | None = None) -> Manifest:
    """Read a manifest; raise ManifestError, and ManifestUnsignedError or ManifestForgedError with keys."""
    keys = keys or Keyring()
    standing = keys.standing(Kind.STORES, data)
    if keys.refuses(standing):
        raise ManifestForgedError(name) if standing is Standing.WRONG else ManifestUnsignedError(name)
    try:
        found = msgspec.json.decode(data, type=_Header).format
        if found != FORMAT:
            raise ManifestError(name, f"it has format {found}, this program knows {FORMAT}")
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ManifestError(name, str(error)) from error
    if manifest.name != name:
        raise ManifestError(name, f"it is of backup {manifest.name!r:.80}")
    if len(set(manifest.store_names)) != len(manifest.stores):
        raise ManifestError(name, "it has a store twice")
    for store in manifest.stores:
        _check_store(name, store)
    # A signature anywhere else is none.
    return msgspec.structs.replace(manifest, signature="") if standing is Standing.UNSIGNED else manifest


def _check_store(name: str, store: StoreEntry) -> None:
    """Names become paths, and keys numbers: those of a manifest are of the form that ours have."""
    if not is_store_name(store.name):
        raise ManifestError(name, f"{store.name!r:.80} is no name of a store")
    parts = []
    for file in store.files:
        folder, _, part = file.path.partition("/")
        if folder != store.name or not _PART.fullmatch(part):
            raise ManifestError(name, f"{file.path!r:.80} is no partition of {store.name}")
        if not 0 <= file.size <= LARGEST_PARTITION:
            raise ManifestError(name, f"{file.path} is said to have {file.size:,} bytes")
        parts.append(part)
    if len(set(parts)) != len(parts):
        raise ManifestError(name, f"{store.name} has a partition twice")
    for key in store.offsets.keys() | store.places.keys():
        if not _SHARD.fullmatch(key):
            raise ManifestError(name, f"{key!r:.80} is no shard")


def encode_manifest(manifest: Manifest, keys: Keyring | None = None) -> bytes:
    """For people too: indented. Signed with the first of the keys, if there is one."""
    keys = keys or Keyring()
    told = msgspec.structs.replace(manifest, signature=UNSIGNED_YET if keys.signs else "")
    data = msgspec.json.format(msgspec.json.encode(told), indent=1)
    return keys.sign(Kind.STORES, data) if keys.signs else data
