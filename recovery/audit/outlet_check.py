"""Whether Kafka's copies hold what the log holds: `live-events`, and the dead letters of each raw topic.

At least once, and in order the first time: a repeat is no difference, as
every reader drops it by position or by letter.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise

import msgspec

from recovery.audit.findings import Findings
from recovery.audit.kafka_reads import OutletRecord
from schemas.outlets import COPIED_BYTES, LIVE_EVENTS, LetterCopy, letter_copy, live_place
from storage.audit_reads import LetterRow, LogRow, ShardRow


class OutletTally(msgspec.Struct, kw_only=True):
    """What was seen of one topic that the relay fills."""

    topic: str
    records: int = 0
    delivered: int = 0  # events or letters of the log that are there
    repeats: int = 0
    other: int = 0  # of another log life, newer than this audit, or older than the log


class LiveEventsCheck:
    """One shard's partition of `live-events` against the shard's rows."""

    def __init__(self, shard: ShardRow, kept_at_least: int, tally: OutletTally, findings: Findings) -> None:
        self._shard = shard
        self._kept_at_least = kept_at_least
        self._tally = tally
        self._findings = findings
        self._rows: dict[int, bytes] = {}  # position -> chain, then a digest of match and payload
        self._delivered: set[int] = set()
        self._furthest = (0, 0)  # generation, position

    def remember(self, rows: Iterable[LogRow]) -> None:
        """Rows of the log, to be found in Kafka."""
        for row in rows:
            self._rows[row.position] = row.chain + _digest(row.match.encode(), row.payload)

    def take(self, records: Sequence[OutletRecord]) -> None:
        """Records of the partition, in their order."""
        self._tally.records += len(records)
        for record in records:
            self._take(record)

    def _take(self, record: OutletRecord) -> None:
        place = live_place(record.headers)
        where = f"{LIVE_EVENTS}[{self._shard.shard}] offset {record.offset}"
        if place is None:
            found = ", ".join(sorted(record.headers)) or "no headers"
            self._findings.add("outlet_record", where, "generation, position and chain in its headers", found)
            return
        row = self._rows.get(place.position)
        is_present = place.generation == self._shard.generation
        if row is None or row[:16] != place.chain:
            if row is not None and is_present:
                self._findings.add("outlet_bytes", f"{where}, its chain", row[:16], place.chain)
            elif is_present and self._shard.base_position < place.position <= self._shard.head:
                self._findings.add("outlet_record", where, "a row of the log", f"position {place.position}")
            else:
                self._tally.other += 1
            return
        match = (record.key or b"").decode(errors="replace")
        # A chain proves which events there are. Those of a life whose commits were lost may have been
        # appended again in the same order, at another time.
        if is_present and row[16:] != _digest(record.key or b"", record.value or b""):
            self._findings.add(
                "outlet_bytes", where, "match and bytes of the row", record.value or b"", match
            )
        self._deliver(place.generation, place.position, where, match)

    def _deliver(self, generation: int, position: int, where: str, match: str) -> None:
        if position in self._delivered:
            self._tally.repeats += 1
            return
        # A new life may begin behind what was sent in the one before.
        if self._furthest[0] == generation and position < self._furthest[1]:
            expected = f"behind position {self._furthest[1]} only repeats"
            self._findings.add("outlet_order", where, expected, f"position {position}", match)
        self._furthest = max(self._furthest, (generation, position))
        self._delivered.add(position)
        self._tally.delivered += 1

    def finish(self, is_trimmed: bool) -> None:
        """Tell what is missing; a topic that Kafka has trimmed may begin anywhere."""
        head = self._shard.head
        first = max(self._shard.base_position, head - self._kept_at_least) + 1
        if is_trimmed:
            first = max(first, min(self._delivered, default=head + 1))
        there = sorted(position for position in self._delivered if position >= first)
        for before, after in pairwise([first - 1, *there, head + 1]):
            if after - before > 1:
                where = f"{LIVE_EVENTS}[{self._shard.shard}] positions {before + 1} to {after - 1}"
                self._findings.add("outlet_hole", where, f"{after - before - 1} events", "none of them")


class LettersCheck:
    """One partition of a `<topic>-dlq` against the dead letters that came from the raw one."""

    def __init__(self, topic: str, partition: int, tally: OutletTally, findings: Findings) -> None:
        """`topic` is the raw topic's name."""
        self._topic = topic
        self._partition = partition
        self._tally = tally
        self._findings = findings
        # By offset: a topic that was made anew may have letters of both lives at one.
        self._letters: dict[int, list[tuple[int, bytes]]] = {}
        self._delivered: set[int] = set()
        self._furthest = 0

    def remember(self, row: LetterRow) -> None:
        """A dead letter of the table, to be found in Kafka."""
        digest = _digest(row.reason.encode(), row.original[:COPIED_BYTES])
        self._letters.setdefault(row.source_offset, []).append((row.letter, digest))

    def take(self, records: Sequence[OutletRecord]) -> None:
        """Records of the partition, in their order."""
        self._tally.records += len(records)
        for record in records:
            self._take(record)

    def _take(self, record: OutletRecord) -> None:
        copy = letter_copy(record.headers)
        where = f"{self._tally.topic}[{self._partition}] offset {record.offset}"
        if copy is None or (copy.topic, copy.partition) != (self._topic, self._partition):
            found = _told(record.headers, copy)
            expected = f"letter, reason and origin {self._topic}/{self._partition} in its headers"
            self._findings.add("outlet_record", where, expected, found)
            return
        known = self._letters.get(copy.offset)
        if known is None:
            self._tally.other += 1
            return
        digest = _digest(copy.reason.encode(), record.value or b"")
        letters = [letter for letter, kept in known if kept == digest]
        if not letters:
            expected = f"reason and bytes of dead letter {known[-1][0]}"
            self._findings.add("outlet_bytes", where, expected, record.value or b"")
            letters = [known[-1][0]]
        self._deliver(letters[-1], where)

    def _deliver(self, letter: int, where: str) -> None:
        if letter in self._delivered:
            self._tally.repeats += 1
            return
        if letter < self._furthest:
            expected = f"behind letter {self._furthest} only repeats"
            self._findings.add("outlet_order", where, expected, f"letter {letter}")
        self._furthest = max(self._furthest, letter)
        self._delivered.add(letter)
        self._tally.delivered += 1

    def finish(self, is_trimmed: bool) -> None:
        """Tell what is missing; of a topic that Kafka has trimmed, the oldest may be."""
        first = min(self._delivered, default=2**63) if is_trimmed else 0
        for offset, letters in sorted(self._letters.items()):
            for letter, _ in letters:
                if letter >= first and letter not in self._delivered:
                    where = f"{self._tally.topic}[{self._partition}]"
                    origin = f"{self._topic}/{self._partition}/{offset}"
                    self._findings.add("outlet_hole", where, f"dead letter {letter} of {origin}", "nothing")


def _digest(first: bytes, second: bytes) -> bytes:
    return blake2b(b"%d/%b%b" % (len(first), first, second), digest_size=8).digest()


def _told(headers: Mapping[str, bytes], copy: LetterCopy | None) -> str:
    if copy is None:
        return ", ".join(sorted(headers)) or "no headers"
    return f"origin {copy.topic}/{copy.partition}/{copy.offset}"
