"""What travels through a dataflow: batches of one partition, in the order of the topic.

Per-event items through the engine are 3-9 times slower, and a batch keeps
the order of its partition by construction. Everything here pickles, so a
cluster may pass it between processes.
"""

from typing import NamedTuple

import msgspec

from schemas.control import ControlRecord
from schemas.identity import hash_said, key_of
from schemas.letters import DeadLetter, Origin
from schemas.raw import RawEvent
from schemas.validation import ReadRecord


class RawBatch(NamedTuple):
    """Consecutive records of one partition of one raw topic, as read."""

    topic: str
    partition: int
    records: list[tuple[int, bytes | None, bytes | None]]  # offset, key, value


class Event(msgspec.Struct, frozen=True, gc=False):
    """A record that is one, with its identity and where it was read from."""

    key: bytes  # schemas.identity.event_key, 16 bytes
    body_hash: bytes  # 8 bytes
    raw: RawEvent
    offset: int
    value: bytes  # as read, for the dead letter that it may still become
    occurred_at: float  # raw.occurred_at in seconds since 1970, worked out once
    record: bytes  # in its one form (schemas.record_form), which the live event contains
    importance: int = 0
    language: str = "und"


class Control(msgspec.Struct, frozen=True, gc=False):
    """A word to the lane, in its place among the events."""

    record: ControlRecord
    origin: Origin


Entry = Event | DeadLetter | Control


class EventBatch(NamedTuple):
    """The same records decoded: events, dead letters and controls side by side, still in order.

    `suspects` are the indexes that the deduplication ring has seen or cannot
    vouch for: the append looks those up, and only it decides.
    """

    topic: str
    partition: int
    entries: list[Entry]
    next_offset: int
    suspects: frozenset[int] = frozenset()

    def offsets(self) -> list[int]:
        """The offset of every entry."""
        return [offset_of(entry) for entry in self.entries]


def offset_of(entry: Entry) -> int:
    """Where an entry was read."""
    return entry.offset if isinstance(entry, Event) else entry.origin.offset


def event_of(read: ReadRecord, offset: int, value: bytes) -> Event:
    """A record with its identity; `offset` and `value` as read."""
    raw = read.event
    happened = raw.occurred_at.timestamp()
    return Event(key_of(raw), hash_said(read.said), raw, offset, value, happened, read.record)
