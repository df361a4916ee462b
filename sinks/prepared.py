"""What the fold needs to know from the log, and what it makes for the log."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from storage.copy_rows import ControlRow, NewMatch, ParkedRow, PlacedLetter, SavedImage
from storage.history import CommitToken

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
    left: list[OriginKey] = field(default_factory=list)  # parked events that were released
    token: CommitToken | None = None  # of a piece that holds something, but no events
    repeats: int = 0
    next_offsets: dict[int, int] = field(default_factory=dict)

    @property
    def without_events(self) -> list[bytes]:
        """What the piece holds besides events, each as bytes that tell it from any other."""
        return [
            repr(each).encode()
            for each in (
                *((p.topic, p.letter.origin.offset, p.letter.reason) for p in self.letters),
                *((p.topic, p.source_offset) for p in self.parked),
                *((c.match, c.state, c.topic, c.source_offset) for c in self.controls),
                *self.left,
            )
        ]
