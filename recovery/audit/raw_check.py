"""Check that each raw record of a partition is an event, a repeat of one, a dead letter or parked. Pure."""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple

from recovery.audit.findings import Findings
from recovery.audit.kafka_reads import RawRecord, TopicCut
from recovery.audit.known_rows import KnownRows
from recovery.audit.parked_check import Parking
from recovery.audit.tally import Tallies
from schemas import letters
from schemas.control import CONTROL_TOPIC, ControlRecord, parse_control
from schemas.identity import hash_said, key_of
from schemas.legacy import is_same_body, legacy_identity
from schemas.partitioning import partition_of
from schemas.raw import RAW_TOPICS, RawEvent, source_of
from schemas.validation import ReadRecord, Rejection, read
from storage.audit_reads import LetterRow, ParkedRow

# What the append may refuse of a record that is well-formed; nothing in the
# record itself tells.
_REFUSED_BY_APPEND = frozenset(
    {letters.FOLD_FAILED, letters.IMAGE_FULL, letters.RETIRED_MATCH, letters.REFUSED_BY_STORAGE}
)


class KnownLetter(NamedTuple):
    """What is remembered of a dead letter while its origin is looked for."""

    letter: int
    reason: str
    match: str | None
    digest: bytes


def digest(original: bytes) -> bytes:
    """16 bytes that stand for the bytes of a record."""
    return blake2b(original, digest_size=16).digest()


def remember(row: LetterRow) -> KnownLetter:
    return KnownLetter(row.letter, row.reason, row.match, digest(row.original))


def verdict(
    topic: str, partition: int, shards: int, value: bytes | None
) -> ReadRecord | Rejection | ControlRecord:
    """What decode makes of a record: the same rules, in the same order."""
    found = read(value)
    if isinstance(found, Rejection):
        told = parse_control(value) if topic == CONTROL_TOPIC else None
        is_home = told is not None and partition_of(told.match, shards) == partition
        return told if told is not None and is_home else found
    event = found.event
    if source_of(event) != RAW_TOPICS[topic]:
        return Rejection(letters.WRONG_TOPIC, f"a record of {source_of(event)}", event.match)
    home = partition_of(event.match, shards)
    if home != partition:
        return Rejection(letters.WRONG_PARTITION, f"belongs to partition {home}", event.match)
    return found


class ShardRecords(NamedTuple):
    """What the log knows about the records of a shard's partitions."""

    shard: int
    shards: int
    rows: KnownRows
    letters: dict[tuple[int, int], KnownLetter]  # by topic number and offset; found ones are taken out
    retired: set[str]
    parking: Parking


class RawCheck:
    """One topic's partition: its records, in the order of offsets.

    `next_offset` is where the log reads on: what lies beyond is unread, not lost.
    """

    def __init__(
        self,
        log: ShardRecords,
        cut: TopicCut,
        number: int | None,
        next_offset: int,
        findings: Findings,
        tallies: Tallies,
    ) -> None:
        self._log = log
        self._cut = cut
        self._number = -1 if number is None else number
        self._next_offset = next_offset
        self._findings = findings
        self._tallies = tallies
        self._topic = tallies.topics[cut.topic]

    def take(self, records: Iterable[RawRecord]) -> None:
        log, topic, number, rows = self._log, self._cut.topic, self._number, self._log.rows
        for record in records:
            self._topic.records += 1
            found = verdict(topic, log.shard, log.shards, record.value)
            letter = log.letters.pop((number, record.offset), None) if log.letters else None
            if letter is not None:
                self._check_letter(record, found, letter)
                continue
            if isinstance(found, ControlRecord):
                self._check_control(record, found)
                continue
            if isinstance(found, Rejection):
                self._check_refused(record, found)
                continue
            parked = log.parking.take_event((number, record.offset))
            if parked is not None:
                self._check_parked(record, parked)
                continue
            ordinal = rows.find(key_of(found.event))
            if ordinal is None:
                self._check_retired(record, found.event)
                continue
            match = found.event.match
            if self._is_repeat(record, found, ordinal):
                self._tallies.match(match, log.shard).records += 1
                self._check_row(record, match, ordinal)
            else:
                self._miss(record, match, f"a dead letter {letters.CONFLICTING_DUPLICATE}")

    def _is_repeat(self, record: RawRecord, found: ReadRecord, ordinal: int) -> bool:
        """Whether a row is of this very record; of derived ones the first write wins silently."""
        rows = self._log.rows
        return not rows.is_fact(ordinal) or is_same_body(
            rows.body_hash(ordinal), hash_said(found.said), record.value
        )

    def _check_refused(self, record: RawRecord, found: Rejection) -> None:
        """A dead letter is missing, unless the log took it while the rules were laxer."""
        parked = self._log.parking.take_event((self._number, record.offset))
        if parked is not None:
            self._check_parked(record, parked)
            return
        then = legacy_identity(record.value)
        ordinal = None if then is None else self._log.rows.find(then[0])
        if then is None or ordinal is None or self._log.rows.body_hash(ordinal) != then[2]:
            self._miss(record, found.match, f"a dead letter {found.reason}")
            return
        self._tallies.match(then[1], self._log.shard).records += 1
        self._check_row(record, then[1], ordinal)

    def _check_row(self, record: RawRecord, match: str, ordinal: int) -> None:
        """It is this row's origin, or a repeat of it."""
        rows = self._log.rows
        tally = self._tallies.match(match, self._log.shard)
        topic, offset = rows.origin(ordinal)
        if topic == self._number and offset == record.offset:
            rows.mark_found(ordinal)
            return
        tally.repeats += 1
        self._topic.repeats += 1
        if topic == self._number and offset > record.offset:
            expected = f"the row names its first appearance, offset {record.offset}"
            found = f"position {rows.row(ordinal).position} names offset {offset}"
            self._findings.add("order", self._where(record.offset), expected, found, match)

    def _check_control(self, record: RawRecord, found: ControlRecord) -> None:
        told = self._log.parking.take_control((self._number, record.offset))
        if told is None:
            self._miss(record, found.match, f"{found.type} {found.match}, which a lane obeyed")
            return
        self._count(found.match)
        self._topic.controls += 1

    def _check_parked(self, record: RawRecord, parked: ParkedRow) -> None:
        self._count(parked.match)
        self._topic.parked += 1
        if parked.original != record.value:
            where = f"{self._where(record.offset)}, parked event {parked.parked}"
            self._findings.add("parked", where, record.value or b"", "other bytes", parked.match)

    def _check_retired(self, record: RawRecord, event: RawEvent) -> None:
        if event.match in self._log.retired:
            self._tallies.match(event.match, self._log.shard).records += 1
            self._topic.retired += 1
            return
        expected = f"an event {source_of(event)} {event.source_event_id} revision {event.revision}"
        self._miss(record, event.match, expected)

    def _check_letter(
        self, record: RawRecord, found: ReadRecord | Rejection | ControlRecord, letter: KnownLetter
    ) -> None:
        where = f"{self._where(record.offset)}, dead letter {letter.letter}"
        self._count(letter.match)
        if digest(record.value or b"") != letter.digest:
            self._findings.add(
                "letter_origin", where, record.value or b"", "other bytes in the dead letter", letter.match
            )
        reason = self._right_reason(record, found, letter.reason)
        if reason != letter.reason:
            self._findings.add("letter_reason", where, reason, letter.reason, letter.match)

    def _right_reason(
        self, record: RawRecord, found: ReadRecord | Rejection | ControlRecord, given: str
    ) -> str:
        if isinstance(found, Rejection):
            return given if self._was_right_before(record.value, given) else found.reason
        if isinstance(found, ControlRecord):
            return "none: a control record"
        rows = self._log.rows
        ordinal = rows.find(key_of(found.event))
        if ordinal is None:
            return given if given in _REFUSED_BY_APPEND else "none: a good record, not in the log"
        if rows.origin(ordinal) == (self._number, record.offset):
            self._findings.add(
                "accounted_twice",
                self._where(record.offset),
                "an event or a dead letter",
                f"position {rows.row(ordinal).position} and a dead letter {given}",
                found.event.match,
            )
            rows.mark_found(ordinal)
        if self._is_repeat(record, found, ordinal):
            return given if given in _REFUSED_BY_APPEND else "none: a repeat"
        return given if given in _REFUSED_BY_APPEND else letters.CONFLICTING_DUPLICATE

    def _was_right_before(self, value: bytes | None, given: str) -> bool:
        """Whether the release before, which took more for a record, refused this one for a later reason."""
        then = legacy_identity(value)
        if then is None:
            return False
        key, match, body, source = then
        if given == letters.WRONG_TOPIC:
            return source != RAW_TOPICS[self._cut.topic]
        if given == letters.WRONG_PARTITION:
            return partition_of(match, self._log.shards) != self._log.shard
        if given == letters.CONFLICTING_DUPLICATE:
            ordinal = self._log.rows.find(key)
            return ordinal is not None and self._log.rows.body_hash(ordinal) != body
        return given in _REFUSED_BY_APPEND

    def _miss(self, record: RawRecord, match: str | None, expected: str, counted: bool = False) -> None:
        if not counted:
            self._count(match)
        where = self._where(record.offset)
        if record.offset >= self._next_offset:
            self._topic.unread += 1
            found = f"the log reads on at offset {self._next_offset}; --settle waits for it"
            self._findings.add("unread", where, expected, found, match)
        else:
            self._topic.unaccounted += 1
            self._findings.add("unaccounted", where, expected, "nothing", match)

    def _count(self, match: str | None) -> None:
        if match is None:
            self._tallies.nameless_records += 1
        else:
            self._tallies.match(match, partition_of(match, self._log.shards)).records += 1

    def _where(self, offset: int) -> str:
        return f"{self._cut.name}[{self._log.shard}]@{offset}"


def check_origins(
    log: ShardRecords,
    cuts: Mapping[int, TopicCut],
    ends: Mapping[int, int],
    findings: Findings,
    tallies: Tallies,
) -> None:
    """After all records of a shard: rows whose origin did not turn up, and letters left over.

    `cuts`: topic number -> its records. An origin of another life, removed by
    retention or newer than the cut cannot be compared and is counted apart.
    `ends`: topic number -> end of the shard's partition after the log was
    frozen; an origin beyond it names a record that Kafka never had, or lost.
    """
    rows = log.rows
    ranges = {number: cut.ranges[log.shard] for number, cut in cuts.items()}
    topics = {number: tallies.topics[cut.topic] for number, cut in cuts.items()}
    for ordinal, (number, offset, found) in enumerate(rows.origins()):
        if number not in ranges:
            continue
        first, end = ranges[number]
        is_compared = first <= offset < end
        if is_compared:
            topics[number].events += 1
        else:
            topics[number].events_beyond += 1
        if offset >= ends[number] or (is_compared and not found):
            cut, row = cuts[number], rows.row(ordinal)
            where = f"shard {log.shard} position {row.position} ({row.match})"
            expected = f"its record at {cut.name}[{log.shard}]@{offset}"
            findings.add("origin", where, expected, "no record, or another identity", row.match)
    log.parking.check_matches(findings)
    log.parking.check_origins(log.shard, cuts, ends, findings)
    for (number, offset), letter in log.letters.items():
        its_cut = cuts.get(number)
        if letter.reason == letters.REMOVED_UNREAD:
            where = f"dead letter {letter.letter}"
            findings.add("removed", where, "every record is read", f"those up to offset {offset} were not")
        elif its_cut is not None and (its_cut.holds(log.shard, offset) or offset >= ends[number]):
            expected = f"its record at {its_cut.name}[{log.shard}]@{offset}"
            findings.add("letter_origin", f"dead letter {letter.letter}", expected, "no record", letter.match)
