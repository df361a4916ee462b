"""The states in a recovery store: what each step of a lane writes, and which of them nobody here wrote.

Bytewax unpickles whatever it finds, and a pickle may run anything. So every
state is read here first, as plain values of its step's shape.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from storage.plain_pickle import LONGEST_BYTES, NotPlainError, load_plain
from storage.recovery_store import Store
from storage.store_errors import StateForeignError, printable
from storage.store_file import StoreFile

# A test pins these ids; of the states of other flows nothing is known but that they are plain.
READ_STEP = "enrich.read"
DEDUPE_STEP = "enrich.dedupe"
APPEND_STEP = "enrich.append"

# Whose keys are printed, put into manifests and read as numbers.
_BY_SHARD = (READ_STEP, APPEND_STEP)
_SHARD = re.compile(r"\d{1,5}", re.ASCII)

_LARGEST = 2**63 - 1  # offsets and positions are bigints
_MOST_TOPICS = 64
_MOST_FINGERPRINTS = 250_000  # of a ring in memory; its snapshot has 4,000
_FINGERPRINT_BYTES = 8
_CHAIN_BYTES = 16
# Of a commit: its number, then its token. Not from storage.history, which loads a client of Postgres.
_NUMBER_BYTES, _TOKEN_BYTES = 8, 16
# Of a state that was put aside: enough to look at what somebody wanted, not what a disk is filled with.
_KEPT_BYTES = 1024 * 1024
_KEPT_STATES = 100

# With the bytes only where they can be loaded at all.
_ALL = """
SELECT step_id, state_key, snap_epoch, coalesce(length(ser_change), 0),
    CASE WHEN length(ser_change) <= ? THEN ser_change END
FROM snaps WHERE ser_change IS NOT NULL
"""
# SQLite takes the other columns from the row that has the maximum. What Bytewax would load.
_LOADED = """
SELECT step_id, state_key, max(snap_epoch), coalesce(length(ser_change), 0),
    CASE WHEN length(ser_change) <= ? THEN ser_change END
FROM snaps WHERE snap_epoch < ? GROUP BY step_id, state_key HAVING ser_change IS NOT NULL
"""
_KINDS = (str, str, int, int, (bytes, type(None)))
_KEYS = """
SELECT step_id, state_key, max(snap_epoch) FROM snaps
WHERE snap_epoch < ? AND step_id IN (?, ?) GROUP BY step_id, state_key HAVING ser_change IS NOT NULL
"""
_DROP = "DELETE FROM snaps WHERE step_id = ? AND state_key = ?"


class ForeignState(NamedTuple):
    """A state that no step here wrote."""

    file: Path
    step: str
    key: str
    epoch: int
    size: int
    data: bytes | None  # None: too large to be read
    reason: str

    @property
    def may_be_dropped(self) -> bool:
        """Whether its step does without: enrich remembers nothing that the log does not say."""
        return self.step in SHAPES

    def __str__(self) -> str:
        return printable(f"state {self.key!r} of {self.step} in {self.file.name} ({self.reason})")

    def error(self, directory: Path) -> StateForeignError:
        return StateForeignError(
            directory, f"{self.file.name}: state {self.key!r} of {self.step}", self.reason
        )


class KeptState(msgspec.Struct, frozen=True, kw_only=True):
    """A foreign state as it is kept aside, for a person to look at."""

    partition: str
    step: str
    key: str
    flow_epoch: int
    reason: str
    bytes: int
    sha256: str | None  # None: too large to be read
    pickle: str  # base64, of long ones the beginning


class KeptStates(msgspec.Struct, frozen=True, kw_only=True):
    """What a file of states that were put aside says."""

    store: str
    put_aside_at: datetime
    why: str
    found: int
    states: list[KeptState]  # the first ones


def read_state(step: str, data: bytes) -> object:
    """The state of a step; raise NotPlainError unless it is plain, and what that step writes."""
    value = load_plain(data)
    shape = SHAPES.get(step)
    if shape is not None:
        said = shape(value)
        if said:
            raise NotPlainError(said)
    return value


def foreign_states(directory: Path, store: Store, *, only_loaded: bool = False) -> Iterator[ForeignState]:
    """Every state of a store that nobody here wrote; `only_loaded`: of those that a resume would load."""
    for path in store.files.values():
        with StoreFile(path, directory) as file:
            rows = (
                file.each(_LOADED, _KINDS, LONGEST_BYTES, store.resume_epoch)
                if only_loaded
                else file.each(_ALL, _KINDS, LONGEST_BYTES)
            )
            for step, key, epoch, size, data in rows:
                try:
                    if data is None:
                        raise NotPlainError(f"{size:,} bytes")
                    if step in _BY_SHARD and not _SHARD.fullmatch(key):
                        raise NotPlainError("its key is no shard")
                    read_state(step, data)
                except NotPlainError as error:
                    yield ForeignState(path, step, key, epoch, size, data, str(error))


def shard_keys(directory: Path, store: Store) -> set[str]:
    """The shards whose places a resume would load: Bytewax refuses those of other lanes."""
    found: set[str] = set()
    for path in store.files.values():
        with StoreFile(path, directory) as file:
            rows = file.rows(_KEYS, (str, str, int), store.resume_epoch, *_BY_SHARD)
            # A key that is no shard at all is of a foreign state, and goes with it.
            found |= {key for _, key, _ in rows if _SHARD.fullmatch(key)}
    return found


def refuse_foreign(directory: Path, store: Store) -> None:
    """Raise StateForeignError for the first state that nobody here wrote."""
    for state in foreign_states(directory, store):
        raise state.error(directory)


def drop_states(store: Store, states: list[ForeignState]) -> int:
    """Remove every snapshot of the keys of these states; return how many rows went.

    Older ones go as well: a step would go on from a moment that the others
    have left behind.
    """
    rows = 0
    for path in store.files.values():
        keys = {(state.step, state.key) for state in states if state.file == path}
        if keys:
            with StoreFile(path, mode="rw") as file:
                rows += sum(file.write(_DROP, step, key) for step, key in sorted(keys))
    return rows


def kept(directory: Path, states: list[ForeignState], now: datetime) -> bytes:
    """The file that keeps states which are put aside."""
    found = KeptStates(
        store=str(directory),
        put_aside_at=now,
        why="no step of a lane writes such a state, so no lane may load it; the lane went on without",
        found=len(states),
        states=[_keep(state) for state in states[:_KEPT_STATES]],
    )
    return msgspec.json.format(msgspec.json.encode(found), indent=1)


def _keep(state: ForeignState) -> KeptState:
    data = state.data
    return KeptState(
        partition=state.file.name,
        step=state.step,
        key=state.key,
        flow_epoch=state.epoch,
        reason=state.reason,
        bytes=state.size,
        sha256=None if data is None else hashlib.sha256(data).hexdigest(),
        pickle=base64.b64encode((data or b"")[:_KEPT_BYTES]).decode(),
    )


def _read_offsets(value: object) -> str:
    # Below zero: where a topic begins, and nothing of it was read.
    if (
        isinstance(value, dict)
        and len(value) <= _MOST_TOPICS
        and all(isinstance(topic, str) and _is_bigint(offset, -1_001) for topic, offset in value.items())
    ):
        return ""
    return "it is no mapping of topics to offsets"


def _place_in_log(value: object) -> str:
    match value:
        case (1, position, bytes(chain)) if _is_bigint(position, 0) and len(chain) == _CHAIN_BYTES:
            return ""
        case (2, position, bytes(chain), bytes(token), generation) if (
            _is_bigint(position, 0)
            and len(chain) == _CHAIN_BYTES
            and _is_commit(token)
            and _is_bigint(generation, 0)
        ):
            return ""
    return "it is no place in the log"


def _is_commit(token: bytes) -> bool:
    number = int.from_bytes(token[:_NUMBER_BYTES], "big")
    return len(token) == _NUMBER_BYTES + _TOKEN_BYTES and number <= _LARGEST


def _ring(value: object) -> str:
    match value:
        case (1, list(buckets)) if all(_is_bucket(bucket) for bucket in buckets):
            held = sum(len(packed) for _, packed in buckets) // _FINGERPRINT_BYTES
            return "" if held <= _MOST_FINGERPRINTS else f"it is a ring of {held:,} fingerprints"
    return "it is no ring of fingerprints"


def _is_bucket(value: object) -> bool:
    match value:
        case (number, bytes(packed)):
            return _is_bigint(number, -_LARGEST) and len(packed) % _FINGERPRINT_BYTES == 0
    return False


def _is_bigint(value: object, least: int) -> bool:
    return type(value) is int and least <= value <= _LARGEST


# Step -> what is wrong with a value as its state; "" when it is one.
SHAPES: dict[str, Callable[[object], str]] = {
    READ_STEP: _read_offsets,
    DEDUPE_STEP: _ring,
    APPEND_STEP: _place_in_log,
}
