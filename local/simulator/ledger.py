"""The ledger: what was sent and acknowledged, so that an audit can hold the log against it."""

import os
from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import msgspec
from msgspec.structs import replace

from local.simulator.ledger_entries import (
    Conflict,
    Day,
    End,
    Entry,
    Final,
    Malformed,
    Record,
    Refused,
    Start,
)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode


class LedgerMismatchError(ValueError):
    """A ledger belongs to another run."""

    def __init__(self, path: Path, found: Start | None, wanted: Start) -> None:
        super().__init__(
            f"{path} is the ledger of another run ({_described(found)}), not of this one"
            f" ({_described(wanted)}). Give the same arguments to go on with it, or another file."
        )
        self.path = path


def read_start(path: Path) -> Start | None:
    """The first line of a ledger; None where there is no ledger yet."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        line = file.readline()
    if not line.endswith(b"\n"):
        return None
    try:
        start = _decode(line)
    except msgspec.MsgspecError:
        return None
    return start if isinstance(start, Start) else None


class Ledger:
    """An append-only file, one entry a line.

    Delivery: each entry once. An entry is written after its acknowledgement;
    what a crash kept from being written is acknowledged and written again,
    what was written is known after a restart. A torn last line is dropped.
    """

    def __init__(self, path: Path, start: Start) -> None:
        """Open or go on; raise LedgerMismatchError."""
        self.path = path
        self.days = 0  # that are complete
        self.is_complete = False
        self._counts: Counter[type[Entry]] = Counter()
        self._known: set[bytes] = set()  # of the day that is not complete
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        whole = self._whole_lines()
        if not whole:
            self._write([start])
        elif _decode(whole[0]) != start:
            os.close(self._file)
            raise LedgerMismatchError(path, read_start(path), start)
        else:
            self._remember(_decode(line) for line in whole)

    def knows(self, entry: Entry) -> bool:
        """Whether an entry of this day is written."""
        return _key_of(entry) in self._known

    def take(self, entries: Iterable[Entry]) -> None:
        """Write those that are not there yet."""
        new = {key: entry for entry in entries if (key := _key_of(entry)) not in self._known}
        if new:
            self._write(new.values())

    def close_day(self, finals: Iterable[Final]) -> None:
        """Write what a day came to."""
        self.take(finals)
        self._write([Day(self.days)])

    def close(self) -> None:
        """Write that the run is complete."""
        self._write([self.totals()])

    def totals(self) -> End:
        """How many entries of each kind there are."""
        counts = self._counts
        return End(counts[Record], counts[Conflict], counts[Malformed], counts[Refused], counts[Final])

    def _write(self, entries: Iterable[Entry]) -> None:
        entries = list(entries)
        # One write: a kill leaves at most one torn line, the last.
        lines = b"".join(_encode(entry) + b"\n" for entry in entries)
        while lines:
            lines = lines[os.write(self._file, lines) :]
        self._remember(entries)

    def _remember(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._counts[type(entry)] += 1
            self._known.add(_key_of(entry))
            if isinstance(entry, Day):
                self.days = entry.day + 1
                self._known.clear()  # identities of a day never come again
            self.is_complete = self.is_complete or isinstance(entry, End)

    def _whole_lines(self) -> list[bytes]:
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.ftruncate(self._file, len(whole))
        return whole.splitlines()


def _key_of(entry: Entry) -> bytes:
    if isinstance(entry, Refused):
        entry = replace(entry, reason="")  # is what the caller was told, not what was refused
    return blake2b(_encode(entry), digest_size=16).digest()


def _described(start: Start | None) -> str:
    if start is None:
        return "unreadable"
    return (
        f"seed {start.seed}, {start.matches} matches, {start.seconds:g} s, from {start.begins_at.isoformat()}"
    )
