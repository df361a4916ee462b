"""Compare the log with a ledger: what the senders say they sent, line by line."""

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

import msgspec

from recovery.audit.findings import Findings
from recovery.audit.known_rows import KnownRows
from recovery.audit.log_check import MatchState
from recovery.audit.raw_check import digest
from schemas.identity import event_key, key_of
from schemas.image import goal_timeline
from schemas.letters import CONFLICTING_DUPLICATE
from schemas.live import Score
from schemas.partitioning import partition_of
from schemas.raw import TOPIC_OF_SOURCE
from schemas.validation import Rejection, parse
from storage.audit_reads import LetterRow


class _Record(msgspec.Struct, tag_field="kind", tag="record"):
    match: str
    source: str
    source_event_id: str
    revision: int


class _Conflict(msgspec.Struct, tag_field="kind", tag="conflict"):
    match: str
    source: str
    source_event_id: str
    revision: int


class _Malformed(msgspec.Struct, tag_field="kind", tag="malformed"):
    source: str
    original_b64: bytes  # msgspec decodes base64


class _Refused(msgspec.Struct, tag_field="kind", tag="refused"):
    source: str
    reason: str = ""
    original_b64: bytes | None = None


class _Final(msgspec.Struct, tag_field="kind", tag="final"):
    match: str
    score: Score
    goals: list[str]


class _End(msgspec.Struct, tag_field="kind", tag="end"):
    """How many lines of each kind there are above."""

    records: int
    conflicts: int | None = None
    malformed: int | None = None
    refused: int | None = None


class _Start(msgspec.Struct, tag_field="kind", tag="start"):
    """What the run was made from: nothing to compare."""


class _Day(msgspec.Struct, tag_field="kind", tag="day"):
    """A match day is complete: nothing to compare."""


_Line = _Start | _Record | _Conflict | _Malformed | _Refused | _Final | _Day | _End
_decode = msgspec.json.Decoder(_Line).decode


class LedgerUnreadableError(ValueError):
    """A ledger file has a line that is none of its kinds."""

    def __init__(self, path: Path, line: int, reason: str) -> None:
        super().__init__(f"{path}, line {line}: {reason}")
        self.line = line


class LedgerTally(msgspec.Struct, kw_only=True):
    """What a ledger holds and how much of it was found."""

    file: str
    is_complete: bool
    records: int = 0
    records_found: int = 0
    conflicts: int = 0
    conflicts_found: int = 0
    malformed: int = 0
    malformed_found: int = 0
    refused: int = 0
    finals: int = 0
    finals_equal: int = 0


class Ledger:
    """What was sent, by shard; about 150 bytes a record.

    Without its `end` line the sender is still sending or was stopped: then
    events that the ledger lacks are no difference, as they may be sent but
    not yet written down.
    """

    def __init__(self, path: Path, shards: int, only: str | None = None) -> None:
        self.path = path
        self._shards = shards
        self._only = only
        self._records: dict[int, dict[bytes, int]] = {}  # shard -> key -> line
        self._conflicts: dict[int, dict[bytes, int]] = {}
        self._malformed: dict[bytes, list[int]] = {}  # digest -> lines
        self._finals: dict[str, tuple[int, _Final]] = {}
        self._matches: set[str] = set()
        self._refused: dict[tuple[str, bytes], int] = {}  # topic, digest -> line
        self._lines_of: Counter[type[_Line]] = Counter()
        self._end: _End | None = None
        self._letters: Counter[bytes] = Counter()
        self._letters_by_topic: set[tuple[str, bytes]] = set()
        self._conflict_letters: set[bytes] = set()
        self._missing: dict[int, tuple[str, str]] = {}  # line -> kind of difference, what was found
        self.tally = LedgerTally(file=path.name, is_complete=False)
        self._load()
        self.tally.is_complete = self._end is not None

    def _load(self) -> None:
        for number, line in self._lines():
            try:
                entry = _decode(line)
            except msgspec.MsgspecError as error:
                raise LedgerUnreadableError(self.path, number, str(error)) from error
            self._lines_of[type(entry)] += 1
            match entry:
                case _Record() | _Conflict():
                    self._add_record(number, entry)
                case _Malformed() if self._only is None:
                    self._malformed.setdefault(digest(entry.original_b64), []).append(number)
                    self.tally.malformed += 1
                case _Refused():
                    self.tally.refused += 1
                    if entry.original_b64 is not None:
                        topic = TOPIC_OF_SOURCE.get(entry.source, "")
                        self._refused[topic, digest(entry.original_b64)] = number
                case _Final():
                    if self._only in (None, entry.match):
                        self._finals[entry.match] = number, entry
                        self.tally.finals = len(self._finals)
                case _End():
                    self._end = entry

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Whole lines only: the sender may be writing the last one."""
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n") and line.strip():
                    yield number, line

    def _add_record(self, number: int, entry: _Record | _Conflict) -> None:
        if self._only not in (None, entry.match):
            return
        kept = self._records if type(entry) is _Record else self._conflicts
        shard = partition_of(entry.match, self._shards)
        key = event_key(entry.match, entry.source, entry.source_event_id, entry.revision)
        kept_here = kept.setdefault(shard, {})
        self._matches.add(entry.match)
        if key in kept_here:
            return
        kept_here[key] = number
        if type(entry) is _Record:
            self.tally.records += 1
        else:
            self.tally.conflicts += 1

    def take_letter(self, row: LetterRow, topic: str) -> None:
        """Note a dead letter, for what was sent to become one."""
        self._letters[digest(row.original)] += 1
        if self._refused:
            self._letters_by_topic.add((topic, digest(row.original)))
        if row.reason == CONFLICTING_DUPLICATE and self._conflicts:
            event = parse(row.original)
            if not isinstance(event, Rejection):
                self._conflict_letters.add(key_of(event))

    def check_shard(
        self,
        shard: int,
        rows: KnownRows,
        parked: Set[bytes],
        states: Mapping[str, MatchState],
        findings: Findings,
    ) -> None:
        """Each record of a shard is one event, each conflict a dead letter besides, each final the image.

        `parked`: keys of events that wait, which are there as well.
        """
        records = self._records.get(shard, {})
        for key, line in records.items():
            if key in rows or key in parked:
                self.tally.records_found += 1
            else:
                self._missing[line] = "ledger_event", "no event"
        for key, line in self._conflicts.get(shard, {}).items():
            if key in self._conflict_letters:
                self.tally.conflicts_found += 1
            else:
                self._missing[line] = "ledger_letter", f"no dead letter {CONFLICTING_DUPLICATE}"
        for line, final in self._finals.values():
            if partition_of(final.match, self._shards) == shard:
                self._check_final(line, final, states.get(final.match), findings)
        if self.tally.is_complete:
            self._check_extra(shard, rows, records, findings)

    def _check_final(self, line: int, final: _Final, state: MatchState | None, findings: Findings) -> None:
        where = f"{self.path.name} line {line}, end of {final.match}"
        expected = f"{final.score.home}-{final.score.away}, goals {sorted(final.goals)}"
        if state is None:
            findings.add("ledger_final", where, expected, "no event of this match", final.match)
            return
        goals = sorted(goal.id for goal in goal_timeline(state.image))
        score = state.image.score
        if score != final.score or goals != sorted(final.goals):
            found = f"{score.home}-{score.away}, goals {goals}"
            findings.add("ledger_final", where, expected, found, final.match)
        else:
            self.tally.finals_equal += 1

    def _check_extra(
        self, shard: int, rows: KnownRows, records: Mapping[bytes, int], findings: Findings
    ) -> None:
        for key, ordinal in rows.keys().items():
            if key in records:
                continue
            row = rows.row(ordinal)
            if row.is_fact and row.match in self._matches:
                where = f"shard {shard} position {row.position} ({row.match})"
                findings.add(
                    "ledger_extra", where, "only what the ledger has", f"event {key.hex()}", row.match
                )

    def finish(self, findings: Findings) -> None:
        """After all shards: what was sent malformed, what is missing, and the count."""
        for original, lines in self._malformed.items():
            found = min(len(lines), self._letters[original])
            self.tally.malformed_found += found
            for line in lines[found:]:
                self._missing[line] = "ledger_letter", "no dead letter with these bytes"
        for refused, line in self._refused.items():
            if refused in self._letters_by_topic:
                self._missing[line] = "ledger_refused", f"a dead letter of {refused[0]} with these bytes"
        if self._missing:
            self._tell_missing(findings)
        if self._end is not None and self._only is None:
            self._check_counts(self._end, findings)

    def _check_counts(self, end: _End, findings: Findings) -> None:
        counted = {
            "records": self._lines_of[_Record],
            "conflicts": self._lines_of[_Conflict],
            "malformed": self._lines_of[_Malformed],
            "refused": self._lines_of[_Refused],
        }
        for kind, lines in counted.items():
            said = getattr(end, kind)
            if said not in (None, lines):
                where = f"{self.path.name}, its end"
                findings.add("ledger_count", where, f"{said} {kind}", f"{lines} lines")

    def _tell_missing(self, findings: Findings) -> None:
        for number, line in self._lines():
            if told := self._missing.get(number):
                what, found = told
                match = msgspec.json.decode(line).get("match")
                findings.add(what, f"{self.path.name} line {number}", line.strip(), found, match)
