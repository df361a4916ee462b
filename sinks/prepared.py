"""What the fold needs to know from the log, and what it makes for the log."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from storage.copy_rows import ControlRow, NewMatch, ParkedRow, PlacedLetter, SavedImage

OriginKey = tuple[int, int, int]  # topic number, partition, offset


class KnownInLog(NamedTuple):
    """What a look-up found: keys with their body hash, and origins that are settled without an event."""

    keys: Mapping[bytes, bytes] = {}
    settled: Set[OriginKey] = frozenset()


@dataclass(slots=True)
class Prepared:
    """Batches of one shard, folded and encoded onto a known head."""

    shard: int
    prev_position: int
    prev_chain: bytes
    position: int
    chain: bytes
    appended_at: datetime
    appended_at_us: int = 0  # the same since 2000-01-01
    rows: list[bytes] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    chains: list[bytes] = field(default_factory=list)  # after each of them
    letters: list[PlacedLetter] = field(default_factory=list)
    parked: list[ParkedRow] = field(default_factory=list)
    controls: list[ControlRow] = field(default_factory=list)
    images: list[SavedImage] = field(default_factory=list)
    matches: list[NewMatch] = field(default_factory=list)
    repeats: int = 0
    next_offsets: dict[int, int] = field(default_factory=dict)
