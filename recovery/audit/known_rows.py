"""The identities of a shard's rows, to find a raw record again by its own.

About 200 bytes a row, for one shard at a time.
"""

from array import array
from collections.abc import Iterator
from typing import NamedTuple


class KnownRow(NamedTuple):
    """What is remembered of a row."""

    position: int
    match: str
    topic: int
    source_offset: int
    body_hash: bytes
    is_fact: bool


class KnownRows:
    """Rows of one shard by event key, and which of them were found in Kafka."""

    def __init__(self) -> None:
        self._ordinals: dict[bytes, int] = {}
        self._positions = array("q")
        self._matches: list[str] = []
        self._topics = array("h")
        self._offsets = array("q")
        self._hashes = bytearray()
        self._facts = bytearray()
        self._found = bytearray()

    def __len__(self) -> int:
        return len(self._positions)

    def add(
        self, key: bytes, position: int, match: str, topic: int, offset: int, body_hash: bytes, is_fact: bool
    ) -> int | None:
        """Remember a row; return the position of an earlier one with the same key."""
        ordinal = len(self._matches)
        earlier = self._ordinals.setdefault(key, ordinal)
        self._positions.append(position)
        self._matches.append(match)
        self._topics.append(topic)
        self._offsets.append(offset)
        self._hashes += body_hash
        self._facts.append(is_fact)
        self._found.append(0)
        return None if earlier == ordinal else self._positions[earlier]

    def __contains__(self, key: bytes) -> bool:
        return key in self._ordinals

    def find(self, key: bytes) -> int | None:
        """The ordinal of the first row with this key."""
        return self._ordinals.get(key)

    def origin(self, ordinal: int) -> tuple[int, int]:
        """Topic number and offset."""
        return self._topics[ordinal], self._offsets[ordinal]

    def body_hash(self, ordinal: int) -> bytes:
        return bytes(self._hashes[8 * ordinal : 8 * ordinal + 8])

    def is_fact(self, ordinal: int) -> bool:
        return bool(self._facts[ordinal])

    def mark_found(self, ordinal: int) -> None:
        """Its origin in Kafka is this very record."""
        self._found[ordinal] = 1

    def origins(self) -> Iterator[tuple[int, int, int]]:
        """Of every row: topic number, offset, and 1 if its record was found."""
        return zip(self._topics, self._offsets, self._found, strict=True)

    def row(self, ordinal: int) -> KnownRow:
        return KnownRow(
            self._positions[ordinal],
            self._matches[ordinal],
            self._topics[ordinal],
            self._offsets[ordinal],
            self.body_hash(ordinal),
            bool(self._facts[ordinal]),
        )

    def keys(self) -> dict[bytes, int]:
        """Event key -> ordinal."""
        return self._ordinals
