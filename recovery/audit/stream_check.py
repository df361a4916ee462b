"""Check a shard's live stream against the rows of its log, in step with them. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

from recovery.audit.findings import Findings
from schemas.pack import PackError, unpack
from storage.audit_reads import LogRow, ShardRow


class Entry(NamedTuple):
    """A stream entry as Redis gives it."""

    id: bytes
    fields: dict[bytes, bytes]


class Pack(NamedTuple):
    """A stream entry, unpacked: events at the positions first..last."""

    first: int
    last: int
    chain: bytes
    events: list[bytes]


class PackDamagedError(ValueError):
    """An entry is no pack; carries why."""


def read_entry(entry: Entry) -> Pack:
    """Unpack an entry; raise PackDamagedError when its parts do not fit each other."""
    try:
        last_text, _, zero = entry.id.partition(b"-")
        first, last, chain = int(entry.fields[b"f"]), int(last_text), entry.fields[b"c"]
        events = unpack(entry.fields[b"e"])
    except KeyError as missing:
        raise PackDamagedError(f"field {missing.args[0].decode()} is missing") from missing
    except (ValueError, PackError) as error:
        raise PackDamagedError(str(error)) from error
    if zero != b"0":
        raise PackDamagedError(f"id {entry.id.decode()} does not end in -0")
    if last - first + 1 != len(events):
        raise PackDamagedError(f"positions {first}..{last}, but {len(events)} events")
    return Pack(first, last, chain, events)


class StreamCheck:
    """One shard's stream of the current generation, read in step with the rows.

    Told as one hole however many events it lacks. What lies beyond the
    snapshot's head is left to `top`, which the caller compares with the
    log as it is now: the stream may have moved on since.
    """

    def __init__(
        self, key: str, shard: ShardRow, entries: Iterator[Entry], kept_at_least: int, findings: Findings
    ) -> None:
        self.key = key
        self.first: int | None = None
        self.top: int | None = None  # last position of the entries read
        self.packs = 0
        self.events = 0  # found equal
        self._shard = shard
        self._entries = entries
        self._kept_at_least = kept_at_least
        self._findings = findings
        self._pack: Pack | None = None
        self._hole: LogRow | None = None
        self._hole_end = 0
        self._advance()
        self._check_start()

    def _check_start(self) -> None:
        """Trimming may have taken the beginning, but not more than retention allows."""
        first = self.first
        base, head = self._shard.base_position, self._shard.head
        latest = max(base + 1, head - self._kept_at_least + 1)
        if first is not None and first > latest:
            self._findings.add("stream_start", self.key, f"position {latest} or before", f"position {first}")

    def _advance(self) -> None:
        """Move to the next readable pack that does not lie behind."""
        behind = self._pack.last if self._pack else None
        self._pack = None
        for entry in self._entries:
            self.packs += 1
            where = f"{self.key} entry {entry.id.decode('ascii', 'replace')}"
            try:
                pack = read_entry(entry)
            except PackDamagedError as error:
                self._findings.add("stream_pack", where, "a pack", error)
                continue
            if behind is not None and pack.first <= behind:
                self._findings.add("stream_pack", where, f"first position {behind + 1}", f"{pack.first}")
                if pack.last <= behind:
                    continue
            if self.first is None:
                self.first = pack.first
            self.top = pack.last
            self._pack = pack
            return

    def take(self, row: LogRow) -> bool:
        """Check the event at a row's position; whether the stream has it as it is."""
        while self._pack is not None and self._pack.last < row.position:
            self._advance()
        pack = self._pack
        if pack is None or row.position < pack.first:
            if self.first is None or row.position > self.first:
                self._lacks(row)
            return False
        self.tell_hole()
        event = pack.events[row.position - pack.first]
        same = event == row.payload
        if same:
            self.events += 1
        else:
            self._findings.add("stream_bytes", self._where(row), row.payload, event, row.match)
        if row.position == pack.last and pack.chain != row.chain:
            self._findings.add("stream_chain", self._where(row), row.chain, pack.chain)
        return same

    def _lacks(self, row: LogRow) -> None:
        if self._hole is None:
            self._hole = row
        self._hole_end = row.position

    def tell_hole(self) -> None:
        """Tell the hole that the rows so far end in, if they do."""
        if self._hole is None:
            return
        first, last = self._hole.position, self._hole_end
        self._findings.add(
            "stream_hole",
            f"{self.key} positions {first}..{last}",
            f"{last - first + 1} events, the first of {self._hole.match} seq {self._hole.seq}",
            "none",
            self._hole.match if first == last else None,
        )
        self._hole = None

    def finish(self) -> None:
        """Read what is left: entries beyond the snapshot's head."""
        self.tell_hole()
        while self._pack is not None:
            self._advance()

    def _where(self, row: LogRow) -> str:
        return f"{self.key} position {row.position} ({row.match} seq {row.seq})"
