"""One shard of the log while it is being written: head, images and recent keys, folded ahead.

What depends on order is computed here and nowhere else. The state is
ahead of the database by what is prepared and not yet committed; `reset`
throws that away, and the committed log gives it back.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from schemas import letters
from schemas.batch import Control, Event, EventBatch
from schemas.control import PARK
from schemas.fold import FOLD_VERSION, ImageFullError, fold
from schemas.identity import next_chain
from schemas.image import MatchImage, encode_image
from schemas.legacy import is_same_body
from schemas.letters import DeadLetter, Origin
from schemas.live import encode_live_around
from schemas.raw import DerivedRecord
from sinks.prepared import KnownInLog, OriginKey, Prepared
from sinks.recent_keys import RecentKeys
from storage.append import Head, Ownership
from storage.copy_rows import (
    Checkpoint,
    ControlRow,
    NewMatch,
    ParkedRow,
    PlacedLetter,
    SavedImage,
    event_row,
    microseconds,
    microseconds_of,
)
from storage.history import Committed, CommitToken, next_token
from storage.images import Rebuilt
from storage.parking import OPEN, PARKED, RELEASING

# Images kept in memory per shard; one is 1-60 KB, and a rebuild takes milliseconds.
IMAGES_KEPT = 500
# Clean rows after a start before "not seen" is trusted again.
SETTLING_ROWS = 1_000
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

Rebuild = Callable[[str], Rebuilt]


class RetiredMatchError(ValueError):
    """The match is closed for good: its data is gone, its name stays."""

    def __init__(self, match: str) -> None:
        super().__init__(f"match {match} was retired")
        self.match = match


class _Place(NamedTuple):
    """Where in the input the fold stands."""

    batch: EventBatch
    topic: int  # number of its life
    settled: Set[OriginKey]  # dead letters, parked events and obeyed controls


def letter_of(batch: EventBatch, event: Event, reason: str, detail: str) -> DeadLetter:
    """The dead letter that an event becomes."""
    origin = Origin(batch.topic, batch.partition, event.offset)
    match = event.raw.match
    return DeadLetter(reason, detail, origin, match.encode(), event.value, match)


@dataclass(slots=True)
class _Match:
    """What the writer remembers of a match."""

    image: MatchImage
    name: bytes
    saved_seq: int  # of the newest saved image; -1 while `matches` has no row of it
    is_retired: bool


def _keys(batch: EventBatch, indexes: Iterable[int] | None = None) -> Iterator[bytes]:
    """The keys of a batch's events; of those at `indexes`, if given."""
    entries = batch.entries if indexes is None else [batch.entries[index] for index in indexes]
    return (entry.key for entry in entries if isinstance(entry, Event))


class ShardLog:
    """The writer's view of one shard. Not thread-safe: `lock` is held by whoever touches it."""

    def __init__(
        self,
        owned: Ownership,
        head: Head,
        token: CommitToken,
        states: Mapping[str, str],
        offsets: Mapping[int, int],
        topics: Mapping[str, int],
        image_every: int,
    ) -> None:
        self.owned = owned
        self.shard = owned.shard
        self.lock = threading.Lock()
        self.waiting_raw = 0  # pieces handed over unfolded; while there are any, nothing is folded ahead
        self.pending = 0  # pieces not yet committed
        self.is_stale = False  # what was folded ahead did not come true: reset before the next piece
        self.committed = Committed(head.position, head.chain, token)
        self.committed_offsets = dict(offsets)
        self.checkpointed_at = datetime.min.replace(tzinfo=UTC)
        self.checkpointed_offsets = dict(offsets)
        self._topics = topics
        self._image_every = image_every
        self._recent = RecentKeys()
        self._matches: dict[str, _Match] = {}
        self.reset(head, token, states)

    def reset(self, head: Head, token: CommitToken, states: Mapping[str, str]) -> None:
        """Forget everything that is not committed; `states` are the committed ones of parked matches."""
        self._token = token
        self.position = head.position
        self.chain = head.chain
        self._appended_at_us = head.appended_at_us
        self._settling = SETTLING_ROWS
        self._matches.clear()
        self._recent.clear()
        self._parked = dict(states)
        self.releasing = {match for match, state in states.items() if state == RELEASING}
        # A checkpoint must never claim what a later piece has read and not committed.
        self._next_offsets = dict(self.committed_offsets)
        self.is_stale = False

    def follow_generation(self, generation: int) -> None:
        """Write to this generation from now on, unless a later one has begun since it was read."""
        if generation > self.owned.generation:
            self.owned = self.owned._replace(generation=generation)

    def note_checkpoint(self, saved: Checkpoint, now: datetime) -> None:
        """This one is committed."""
        self.checkpointed_at, self.checkpointed_offsets = now, saved.next_offsets

    def note_obeyed(self, controls: Iterable[ControlRow]) -> None:
        """What was told is committed: the matches that are being released are known by it."""
        for control in controls:
            if control.state == RELEASING:
                self.releasing.add(control.match)
            else:
                self.releasing.discard(control.match)

    def number_of(self, topic: str) -> int:
        """The number of a topic's life."""
        return self._topics[topic]

    def unanswered(self, batches: Sequence[EventBatch], every: bool = False) -> list[bytes]:
        """The keys that only the database can tell about: suspects not in memory, or all after a start.

        A suspect that repeats an event of the same batches is none of them:
        it is in memory by the time its turn comes.
        """
        known = self._recent.get
        if every or self._settling > 0:
            return [key for batch in batches for key in _keys(batch) if known(key) is None]
        asked = [key for batch in batches for key in _keys(batch, batch.suspects) if known(key) is None]
        if not asked:
            return asked
        suspected = set(asked)
        fresh = {
            entry.key
            for batch in batches
            for index, entry in enumerate(batch.entries)
            if index not in batch.suspects and isinstance(entry, Event) and entry.key in suspected
        }
        return [key for key in asked if key not in fresh]

    @property
    def is_crowded(self) -> bool:
        """Whether more images are held than should be; they may go only while nothing is pending."""
        return len(self._matches) > 2 * IMAGES_KEPT

    def evict(self) -> None:
        """Forget the images longest held. Only when all that was folded is committed:
        an image that is rebuilt from the log would miss what is pending.
        """
        for match in list(self._matches)[: max(0, len(self._matches) - IMAGES_KEPT)]:
            del self._matches[match]

    def load_images(self, batches: Iterable[EventBatch], rebuild: Rebuild) -> None:
        """Rebuild the images that these batches need, so that no lock is held while the log is read."""
        for batch in batches:
            for entry in batch.entries:
                if type(entry) is Event and entry.raw.match not in self._matches:
                    self._load(entry.raw.match, rebuild)

    def _load(self, match: str, rebuild: Rebuild) -> _Match:
        rebuilt = rebuild(match)
        loaded = self._matches[match] = _Match(
            rebuilt.image, match.encode(), rebuilt.saved_seq if rebuilt.is_known else -1, rebuilt.is_retired
        )
        return loaded

    def prepare(self, batches: Sequence[EventBatch], known: KnownInLog, now: datetime) -> Prepared:
        """Fold and encode batches onto the head, and move the head.

        Their images are loaded. What is known or recent is a repeat, or with
        another body a dead letter.
        """
        piece = self._begin(now)
        touched: dict[str, _Match] = {}
        found = 0
        for batch in batches:
            place = _Place(batch, self._topics[batch.topic], known.settled)
            found += self._take(piece, place, known, touched, self._parked)
            following = max(self._next_offsets.get(place.topic, 0), batch.next_offset)
            self._next_offsets[place.topic] = following
        self._settling = SETTLING_ROWS if found else max(0, self._settling - len(piece.rows))
        self._end(piece, touched)
        return piece

    def release(
        self,
        match: str,
        events: Sequence[tuple[int, EventBatch]],
        known: KnownInLog,
        now: datetime,
        is_last: bool,
    ) -> Prepared:
        """Fold events of a parked match onto the head, each with the number of its topic's life.

        Nothing else is folded ahead. After the last one the match is open.
        """
        piece = self._begin(now)
        touched: dict[str, _Match] = {}
        for topic, batch in events:
            self._take(piece, _Place(batch, topic, known.settled), known, touched, {})
            piece.left += [(topic, batch.partition, offset) for offset in batch.offsets()]
        if is_last:
            del self._parked[match]
            piece.controls.append(ControlRow(self.shard, match, "opened", OPEN, "", "", None, None))
        self._end(piece, touched)
        return piece

    def _begin(self, now: datetime) -> Prepared:
        now = max(now, _EPOCH + timedelta(microseconds=self._appended_at_us))
        piece = Prepared(self.shard, self.position, self.chain, self.position, self.chain, now)
        self._appended_at_us = piece.appended_at_us = microseconds(now)
        return piece

    def _end(self, piece: Prepared, touched: Mapping[str, _Match]) -> None:
        self.position, self.chain = piece.position, piece.chain
        if not piece.rows and (held := piece.without_events):
            self._token = piece.token = next_token(self._token, held)
        piece.next_offsets = dict(self._next_offsets)
        self._save_images(piece, touched)

    def _take(
        self,
        piece: Prepared,
        place: _Place,
        known: KnownInLog,
        touched: dict[str, _Match],
        parked: Mapping[str, str],
    ) -> int:
        """Fold the entries of one batch; return how many of them the look-up knew."""
        found = 0
        for entry in place.batch.entries:
            if not isinstance(entry, Event):
                self._take_other(piece, place, entry)
                continue
            there = self._recent.get(entry.key)
            if there is None and known.keys:
                there = known.keys.get(entry.key)
                found += there is not None
            if there is not None:
                self._repeat(piece, place, entry, there)
                continue
            if parked and entry.raw.match in parked:
                self._park(piece, place, entry)
                continue
            try:
                self._fold(piece, place.topic, entry, touched)
            except Exception as error:  # noqa: BLE001 - the fold is total: this is the event's own
                reason = _REASONS.get(type(error), letters.FOLD_FAILED)
                detail = f"{type(error).__name__}: {error}"
                self._reject(piece, place, letter_of(place.batch, entry, reason, detail))
        return found

    def _take_other(self, piece: Prepared, place: _Place, entry: DeadLetter | Control) -> None:
        if isinstance(entry, DeadLetter):
            self._reject(piece, place, entry)
        elif (place.topic, place.batch.partition, entry.origin.offset) not in place.settled:
            self._obey(piece, place.topic, entry)

    def _obey(self, piece: Prepared, topic: int, control: Control) -> None:
        """From here on the events of the match wait, or those that wait leave; twice the same is once."""
        record = control.record
        before = self._parked.get(record.match, OPEN)
        after = PARKED if record.type == PARK else OPEN if before == OPEN else RELEASING
        if after != OPEN:
            self._parked[record.match] = after
        piece.controls.append(
            ControlRow(
                self.shard,
                record.match,
                record.type,
                after,
                record.issued_by,
                record.because,
                topic,
                control.origin.offset,
            )
        )

    def _park(self, piece: Prepared, place: _Place, event: Event) -> None:
        if (place.topic, place.batch.partition, event.offset) not in place.settled:
            row = ParkedRow(
                self.shard,
                event.raw.match,
                place.topic,
                event.offset,
                event.importance,
                event.language,
                event.value,
            )
            piece.parked.append(row)

    def _fold(self, piece: Prepared, topic: int, event: Event, touched: dict[str, _Match]) -> None:
        raw = event.raw
        match = self._matches[raw.match]
        if match.is_retired:
            raise RetiredMatchError(raw.match)
        before = match.image
        image, live = fold(before, raw, event.key.hex(), piece.appended_at, event.importance, event.language)
        payload = encode_live_around(event.record, live)
        chain = next_chain(piece.chain, event.key, event.body_hash)
        position = piece.position + 1
        piece.rows.append(
            event_row(
                self.shard,
                position,
                image.seq,
                event.key,
                event.body_hash,
                chain,
                topic,
                event.offset,
                microseconds_of(event.occurred_at),
                piece.appended_at_us,
                type(raw) is not DerivedRecord,
                FOLD_VERSION,
                match.name,
                payload,
            )
        )
        if match.saved_seq < 0:
            piece.matches.append(NewMatch(raw.match, self.shard, piece.appended_at, FOLD_VERSION))
            match.saved_seq = 0
        # What a fan joins with changed: save it even before it is due.
        if (
            image.incidents is not before.incidents
            or image.fixture is not before.fixture
            or image.seq - match.saved_seq >= self._image_every
        ):
            touched[raw.match] = match
        match.image = image
        piece.payloads.append(payload)
        piece.chains.append(chain)
        piece.position, piece.chain = position, chain
        self._recent.add(event.key, event.body_hash)

    def _repeat(self, piece: Prepared, place: _Place, event: Event, there: bytes) -> None:
        """Count a repeat; the same identity with another body is a dead letter, unless it is derived."""
        if type(event.raw) is DerivedRecord or is_same_body(there, event.body_hash, event.value):
            piece.repeats += 1
            return
        detail = f"{event.raw.source_event_id} revision {event.raw.revision} is in the log with another body"
        self._reject(piece, place, letter_of(place.batch, event, letters.CONFLICTING_DUPLICATE, detail))

    def _reject(self, piece: Prepared, place: _Place, letter: DeadLetter) -> None:
        if (place.topic, place.batch.partition, letter.origin.offset) not in place.settled:
            piece.letters.append(PlacedLetter(place.topic, letter))

    def _save_images(self, piece: Prepared, touched: Mapping[str, _Match]) -> None:
        for name, match in touched.items():
            match.saved_seq = match.image.seq
            piece.images.append(
                SavedImage(
                    name, match.image.seq, self.shard, piece.position, FOLD_VERSION, encode_image(match.image)
                )
            )


_REASONS: dict[type[Exception], str] = {
    ImageFullError: letters.IMAGE_FULL,
    RetiredMatchError: letters.RETIRED_MATCH,
}
