"""Whether Kafka's copies hold what the log holds: `live-events`, and the dead letters of each raw topic.

At least once, and in order the first time: a repeat is no difference, as
every reader drops it by position or by letter. Nor is a copy that was cut to
what its topic takes, or a stub, when it says the full size.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import NamedTuple

import msgspec

from recovery.audit.findings import Findings
from recovery.audit.kafka_reads import OutletRecord
from schemas.outlets import CUT, CUT_STEP, LIVE_EVENTS, STUB, LetterCopy, letter_copy, live_place
from storage.audit_reads import LetterRow, LogRow, ShardRow

_DIGEST_BYTES = 8
# Of the size that a cut copy says. Python reads no number of more than 4,300.
_MOST_DIGITS = 19


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
        # position -> chain, a digest of match and payload, then one of match and the payload's size
        self._rows: dict[int, bytes] = {}
        self._delivered: set[int] = set()
        self._furthest = (0, 0)  # generation, position

    def remember(self, rows: Iterable[LogRow]) -> None:
        """Rows of the log, to be found in Kafka."""
        for row in rows:
            match = row.match.encode()
            size = b"%d" % len(row.payload)
            self._rows[row.position] = row.chain + _digest(match, row.payload) + _digest(match, size)

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
        if is_present and not _is_copy(record, row[16:24], row[24:]):
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


class _Known(NamedTuple):
    """A dead letter as the table has it, without its bytes: a few of them may be millions."""

    letter: int
    size: int
    digests: bytes  # of reason and value: cut after 0, 1, 2 ... steps, and in full

    def is_copied_by(self, reason: str, record: OutletRecord) -> bool:
        """Whether a record has this value, or a beginning of it that says how long it was."""
        value = record.value or b""
        steps, rest = divmod(len(value), CUT_STEP)
        if len(value) == self.size:
            known = self.digests[-_DIGEST_BYTES:]
        elif rest or len(value) > self.size or _said_size(record) != self.size:
            return False
        else:
            known = self.digests[steps * _DIGEST_BYTES :][:_DIGEST_BYTES]
        return known == _digests(reason, value)[-_DIGEST_BYTES:]


class LettersCheck:
    """One partition of a `<topic>-dlq` against the dead letters that came from the raw one."""

    def __init__(self, topic: str, partition: int, tally: OutletTally, findings: Findings) -> None:
        """`topic` is the raw topic's name."""
        self._topic = topic
        self._partition = partition
        self._tally = tally
        self._findings = findings
        # By offset: a topic that was made anew may have letters of both lives at one.
        self._letters: dict[int, list[_Known]] = {}
        self._delivered: set[int] = set()
        self._furthest = 0

    def remember(self, row: LetterRow) -> None:
        """A dead letter of the table, to be found in Kafka."""
        known = _Known(row.letter, len(row.original), _digests(row.reason, row.original))
        self._letters.setdefault(row.source_offset, []).append(known)

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
        letters = [each.letter for each in known if each.is_copied_by(copy.reason, record)]
        if not letters:
            expected = f"reason and bytes of dead letter {known[-1].letter}"
            self._findings.add("outlet_bytes", where, expected, record.value or b"")
            letters = [known[-1].letter]
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
            for letter, _, _ in letters:
                if letter >= first and letter not in self._delivered:
                    where = f"{self._tally.topic}[{self._partition}]"
                    origin = f"{self._topic}/{self._partition}/{offset}"
                    self._findings.add("outlet_hole", where, f"dead letter {letter} of {origin}", "nothing")


def _digests(reason: str, value: bytes) -> bytes:
    """Digests of the beginnings of a value that a copy may consist of, the full one last."""
    running = blake2b(b"%d/%b" % (len(reason.encode()), reason.encode()), digest_size=_DIGEST_BYTES)
    found = [running.digest()]
    for start in range(0, len(value), CUT_STEP):
        running.update(value[start : start + CUT_STEP])
        found.append(running.digest())
    return b"".join(found)


def _is_copy(record: OutletRecord, whole: bytes, stub: bytes) -> bool:
    """Whether it is an event, or a stub of one that its topic does not take."""
    match, value = record.key or b"", record.value or b""
    if STUB in record.headers and not value:
        return _digest(match, record.headers.get(CUT, b"")) == stub
    return _digest(match, value) == whole


def _said_size(record: OutletRecord) -> int:
    said = record.headers.get(CUT, b"")
    return int(said) if said.isdigit() and len(said) <= _MOST_DIGITS else -1


def _digest(first: bytes, second: bytes) -> bytes:
    return blake2b(b"%d/%b%b" % (len(first), first, second), digest_size=_DIGEST_BYTES).digest()


def _told(headers: Mapping[str, bytes], copy: LetterCopy | None) -> str:
    if copy is None:
        return ", ".join(sorted(headers)) or "no headers"
    return f"origin {copy.topic}/{copy.partition}/{copy.offset}"
