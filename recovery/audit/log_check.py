"""Check the rows of a shard's log one by one, folding them anew. Pure.

A difference is told once: the check goes on from what the row says, so one
broken link is not a million.
"""

from collections.abc import Iterable, Mapping, Set
from datetime import UTC, datetime, timedelta

import msgspec

from recovery.audit.findings import Findings
from recovery.audit.known_rows import KnownRows
from recovery.audit.matches_check import Seen
from recovery.audit.refused_check import FOLD_ERRORS, RefusedCheck
from recovery.audit.tally import MatchTally, Tallies
from schemas.fold import FOLD_VERSION, advance_logged, empty_image, fold, minute_of
from schemas.identity import hash_said, key_of, next_chain
from schemas.image import MatchImage, decode_image
from schemas.legacy import LEGACY_VERSION, legacy_record_hash
from schemas.live import LiveEvent, decode_live, record_in
from schemas.partitioning import partition_of
from schemas.raw import RAW_TOPICS, DerivedRecord, source_of
from schemas.record_form import unstamped
from schemas.weight import WEIGHED_SINCE, importance_of, language_of
from storage.audit_reads import ImageRow, LogRow, ShardRow

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class MatchState:
    """A match while its rows go by."""

    __slots__ = ("image", "last_offsets", "seen", "tally")

    def __init__(self, tally: MatchTally, first_at: datetime) -> None:
        self.image: MatchImage = empty_image(tally.match)
        self.last_offsets: dict[int, int] = {}  # topic number -> offset of the latest row
        self.tally = tally
        self.seen = Seen(first_at)


class LogCheck:
    """One shard's rows, in the order of positions.

    `raw_topics`: topic number -> name without prefix, of every life;
    `redriven`: topic number and offset of what a redrive wrote.
    """

    def __init__(
        self,
        shard: ShardRow,
        shards: int,
        raw_topics: Mapping[int, str],
        findings: Findings,
        tallies: Tallies,
        redriven: Set[tuple[int, int]] = frozenset(),
        refused: RefusedCheck | None = None,
    ) -> None:
        self.known = KnownRows()
        self.states: dict[str, MatchState] = {}
        self.rows = 0
        self._redriven = redriven
        self._refused = refused or RefusedCheck(shard.shard)
        self._shard = shard.shard
        self._shards = shards
        self._sources = {number: RAW_TOPICS.get(name) for number, name in raw_topics.items()}
        self._findings = findings
        self._tallies = tallies
        self._position = shard.base_position
        self._chain = shard.base_chain
        self._appended_at = 0
        self._appended = _EPOCH

    def take(self, rows: Iterable[LogRow], images: Iterable[ImageRow]) -> None:
        """Check rows, and the images that were saved among them."""
        waiting = iter(images)
        image = next(waiting, None)
        for row in rows:
            while image is not None and image.position < row.position:
                self._check_image(image)
                image = next(waiting, None)
            self._check(row)
        while image is not None:
            self._check_image(image)
            image = next(waiting, None)

    def _check(self, row: LogRow) -> None:
        self.rows += 1
        if row.position != self._position + 1:
            self._tell(row, "position", self._position + 1, row.position)
        self._position = row.position
        chain = next_chain(self._chain, row.event_key, row.body_hash)
        if chain != row.chain:
            self._tell(row, "chain", chain, row.chain)
        self._chain = row.chain
        if row.appended_at < self._appended_at:
            self._tell(
                row, "appended_at", f"not before {_instant(self._appended_at)}", _instant(row.appended_at)
            )
        if row.appended_at != self._appended_at:
            # One append stamps many rows.
            self._appended_at = row.appended_at
            self._appended = _instant(row.appended_at)

        state = self.states.get(row.match)
        if state is None:
            state = self._begin(row)
        state.tally.events += 1
        state.seen.versions.add(row.fold_version)
        self._refused.see(row, state.image, self._appended, self._findings)
        last = state.last_offsets.get(row.topic, -1)
        # A redriven letter goes in front of what waits behind it, which was sent before.
        if (row.topic, row.source_offset) not in self._redriven:
            if row.source_offset <= last:
                self._tell(row, "order", f"an offset above {last}", row.source_offset)
            state.last_offsets[row.topic] = row.source_offset
        earlier = self.known.add(
            row.event_key,
            row.position,
            state.tally.match,
            row.topic,
            row.source_offset,
            row.body_hash,
            row.is_fact,
        )
        if earlier is not None:
            self._tell(row, "key_twice", f"only at position {earlier}", f"also at {row.position}")
        self._check_fold(row, state)

    def _begin(self, row: LogRow) -> MatchState:
        home = partition_of(row.match, self._shards)
        if home != self._shard:
            self._tell(row, "shard", f"shard {home}", f"shard {self._shard}")
        state = self.states[row.match] = MatchState(
            self._tallies.match(row.match, self._shard), self._appended
        )
        return state

    def _check_fold(self, row: LogRow, state: MatchState) -> None:
        image = state.image
        if row.seq != image.seq + 1:
            self._tell(row, "seq", image.seq + 1, row.seq)
            image = msgspec.structs.replace(image, seq=row.seq - 1)
        try:
            live = decode_live(row.payload)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            self._tell(row, "payload", "a live event", f"{error}: {row.payload[:120]!r}")
            state.image = msgspec.structs.replace(image, seq=row.seq)
            return
        is_older = _is_older(row.fold_version)
        if is_older:
            state.tally.folded_before += 1
        elif row.fold_version != FOLD_VERSION:
            self._tell(row, "fold_version", FOLD_VERSION, row.fold_version)
        self._check_identity(row, live)
        if is_older:
            # Its score was right by the rules of its time, and its bounds were others.
            state.image = advance_logged(image, live.event)
            expected = msgspec.structs.replace(
                live,
                event_id=row.event_key.hex(),
                seq=state.image.seq,
                appended_at=self._appended,
                minute=minute_of(live.event),
            )
            self._tell_payload(row, live, expected)
            return
        try:
            state.image, expected = fold(
                image,
                live.event,
                row.event_key.hex(),
                self._appended,
                *_weight_of(live, row.fold_version),
            )
        except FOLD_ERRORS as error:
            self._tell(row, "fold", "a record that can be folded", f"{type(error).__name__}: {error}")
            state.image = msgspec.structs.replace(image, seq=row.seq)
            return
        if live.v == LEGACY_VERSION:
            expected = msgspec.structs.replace(expected, v=LEGACY_VERSION)
        if live != expected:
            self._tell_payload(row, live, expected)

    def _check_identity(self, row: LogRow, live: LiveEvent) -> None:
        event = live.event
        key, body = key_of(event), _hash_in(row.payload, live.v)
        if key != row.event_key:
            self._tell(row, "identity", f"key {row.event_key.hex()}", f"payload's key {key.hex()}")
        if body != row.body_hash:
            self._tell(row, "identity", f"body hash {row.body_hash.hex()}", f"payload's hash {body.hex()}")
        if event.match != row.match:
            self._tell(row, "payload", f"match {row.match}", f"match {event.match}")
        if (event.occurred_at - _EPOCH) // _MICROSECOND != row.occurred_at:
            self._tell(row, "payload", f"occurred_at {_instant(row.occurred_at)}", event.occurred_at)
        if row.is_fact == (type(event) is DerivedRecord):
            self._tell(row, "payload", f"is_fact {row.is_fact}", f"a record of {source_of(event)}")
        if self._sources.get(row.topic) != source_of(event):
            source = self._sources.get(row.topic)
            self._tell(row, "payload", f"a record of {source}", f"a record of {source_of(event)}")

    def _tell_payload(self, row: LogRow, live: LiveEvent, expected: LiveEvent) -> None:
        for field in live.__struct_fields__:
            stored, right = getattr(live, field), getattr(expected, field)
            if stored != right:
                kind = "score" if field == "score" else "payload"
                self._tell(row, kind, f"{field} {right}", f"{field} {stored}")

    def _check_image(self, saved: ImageRow) -> None:
        state = self.states.get(saved.match)
        where = f"image of {saved.match} at seq {saved.seq}, shard {self._shard} position {saved.position}"
        if state is None or saved.position > self._position:
            found = "no row there" if state is None else f"the log ends at position {self._position}"
            self._findings.add("image", where, "rows of this match", found, saved.match)
            return
        state.tally.images += 1
        if state.image.seq != saved.seq:
            self._findings.add("image", where, f"seq {state.image.seq}", f"seq {saved.seq}", saved.match)
            return
        if _is_older(saved.fold_version):
            state.tally.folded_before += 1  # nobody reads it any more
            return
        if saved.fold_version != FOLD_VERSION:
            self._findings.add("fold_version", where, FOLD_VERSION, saved.fold_version, saved.match)
            return
        try:
            image = decode_image(saved.image)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            self._findings.add("image", where, "an image", error, saved.match)
            return
        if image != state.image:
            self._tell_image(where, saved.match, image, state.image)

    def _tell_image(self, where: str, match: str, stored: MatchImage, right: MatchImage) -> None:
        for field in right.__struct_fields__:
            if getattr(stored, field) != getattr(right, field):
                expected, found = f"{field} {getattr(right, field)}", f"{field} {getattr(stored, field)}"
                self._findings.add("image", where, expected, found, match)
                return

    def finish(self) -> None:
        """Hand over what the last row of each match left behind."""
        images = {match: state.image for match, state in self.states.items()}
        self._refused.finish(images, self._appended, self._findings)
        for state in self.states.values():
            tally, image = state.tally, state.image
            tally.seq, tally.score, tally.status = image.seq, image.score, image.status

    def _tell(self, row: LogRow, what: str, expected: object, found: object) -> None:
        where = f"shard {self._shard} position {row.position} ({row.match} seq {row.seq})"
        self._findings.add(what, where, expected, found, row.match)


def _hash_in(payload: bytes, version: int) -> bytes:
    """The hash of the record that a payload holds: of its bytes, whatever fields this code knows."""
    record = record_in(payload)
    return legacy_record_hash(record) if version == LEGACY_VERSION else hash_said(unstamped(record))


def _weight_of(live: LiveEvent, fold_version: int) -> tuple[int, str]:
    """Computed anew, unless the row is from before the rules of now."""
    if fold_version < WEIGHED_SINCE:
        return live.importance, live.language
    return importance_of(live.event), language_of(live.event)


def _is_older(version: int) -> bool:
    """Whether a fold before the installed one wrote a row: what it computed cannot be computed again."""
    return 1 <= version < FOLD_VERSION


def _instant(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
