"""What an audit remembers of the one before: where each shard was, which must still be in the log.

A database that was put back without a new generation looks whole: every
chain in it is right. Only somebody outside of it knows that it was longer.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from recovery.audit.findings import Findings
from settings import Settings
from storage.audit_reads import ShardRow

FORMAT = 1
_LARGEST_BYTES = 1024 * 1024  # 1,024 shards have 100 KB
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Chain = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
ChainAt = Callable[[int, int], bytes | None]


class Mark(msgspec.Struct, frozen=True):
    """A place that the log of a shard had reached."""

    generation: _Count
    head: _Count
    chain: _Chain


class Memory(msgspec.Struct, frozen=True):
    """What the file of an installation says."""

    format: int
    audited_at: datetime
    shards: dict[int, Mark]


class HistoryNote(msgspec.Struct, kw_only=True):
    """What a receipt says of it."""

    file: str
    audited_at: str | None = None  # when the marks were made; None: there are none yet
    remark: str = ""  # why there are none, or why none could be made now
    shards: dict[int, Mark] = {}  # the marks that were looked for
    compared: int = 0
    risen: list[str] = []  # shards with another generation: their log began anew, and says so
    is_remembered: bool = False  # this audit's own marks are in the file


class History:
    """The marks of an installation, in a file of its data folder.

    A shard that differs keeps its mark until its generation rises, so the
    difference is told by each audit and not by the first one only.
    """

    def __init__(self, settings: Settings) -> None:
        self._path = settings.data / "audit.json"
        self.note = HistoryNote(file=str(self._path))
        self._marks: dict[int, Mark] = {}
        self._kept: dict[int, Mark] = {}  # of shards that differ
        self._load()

    def _load(self) -> None:
        try:
            with self._path.open("rb") as file:
                data = file.read(_LARGEST_BYTES + 1)
            memory = msgspec.json.decode(data, type=Memory)
            if memory.format != FORMAT or len(data) > _LARGEST_BYTES:
                raise ValueError(f"it has format {memory.format} and {len(data):,} bytes")
        except FileNotFoundError:
            self.note.remark = "no audit before this one: there is nothing to compare with"
        except (OSError, ValueError, RecursionError) as error:
            self.note.remark = f"what the audit before remembered cannot be read: {error}"
        else:
            self._marks = memory.shards
            self.note.audited_at = memory.audited_at.astimezone(UTC).isoformat(timespec="seconds")
            self.note.shards = dict(memory.shards)

    def compare(self, shards: Mapping[int, ShardRow], chain_at: ChainAt, findings: Findings) -> None:
        """Look for each mark in the log; `chain_at` gives the chain of a shard at a position."""
        for number, mark in sorted(self._marks.items()):
            shard = shards.get(number)
            if shard is not None and shard.generation > mark.generation:
                self.note.risen.append(
                    f"shard {number}: generation {mark.generation} ended at {mark.head} or later, now it is"
                    f" {shard.generation}, at {shard.head}"
                )
                continue
            self.note.compared += 1
            found = self._missing(number, mark, shard, chain_at)
            if found:
                where = f"shard {number} position {mark.head}, generation {mark.generation}"
                findings.add("history", where, f"chain {mark.chain}, seen {self.note.audited_at}", found)
                self._kept[number] = mark

    def _missing(self, number: int, mark: Mark, shard: ShardRow | None, chain_at: ChainAt) -> str:
        """What is wrong with the log at a mark; "" when it is still there, or was dropped with its bucket."""
        if shard is None or shard.generation < mark.generation:
            return f"generation {shard.generation if shard else 0}, which came before"
        if shard.head < mark.head:
            return f"the log ends at position {shard.head}"
        if mark.head < shard.base_position:
            return ""
        chain = shard.base_chain if mark.head == shard.base_position else chain_at(number, mark.head)
        if chain is None:
            return "no row there"
        return "" if chain.hex() == mark.chain else f"chain {chain.hex()}"

    def remember(self, shards: Mapping[int, ShardRow], now: datetime) -> None:
        """Write where the log is now; a crash leaves the marks of before. Marks that differ stay."""
        marks = {
            number: Mark(shard.generation, shard.head, shard.chain.hex())
            for number, shard in shards.items()
            if shard.generation  # 0: it never had a writer
        }
        data = msgspec.json.encode(Memory(FORMAT, now, marks | self._kept))
        being_made = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with being_made.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            being_made.replace(self._path)
        except OSError as error:
            with suppress(OSError):
                being_made.unlink()
            self.note.remark = f"what this audit saw cannot be remembered: {error}"
        else:
            self.note.is_remembered = True
