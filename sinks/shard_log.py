"""One shard of the log while it is being written: head, images and recent keys, folded ahead.

What depends on order is computed here and nowhere else. The state is
ahead of the database by what is prepared and not yet committed; `reset`
throws that away, and the committed log gives it back.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from schemas import letters
from schemas.batch import Event, EventBatch
from schemas.fold import FOLD_VERSION, ImageFullError, fold
from schemas.identity import next_chain
from schemas.image import MatchImage, encode_image
from schemas.letters import DeadLetter, Origin
from schemas.live import encode_live_around
from schemas.raw import DerivedRecord
from storage.append import Head, Ownership
from storage.copy_rows import NewMatch, PlacedLetter, SavedImage, event_row, microseconds, microseconds_of
from storage.images import Rebuilt

# Images kept in memory per shard; one is 1-60 KB, and a rebuild takes milliseconds.
IMAGES_KEPT = 500
# Keys kept per shard to answer look-ups without the database; about 3 MB.
RECENT_KEYS = 20_000
# Clean rows after a start before "not seen" is trusted again.
SETTLING_ROWS = 1_000
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

Rebuild = Callable[[str], Rebuilt]
LetterKey = tuple[int, int, int]  # topic number, partition, offset


class RetiredMatchError(ValueError):
    """The match is closed for good: its data is gone, its name stays."""

    def __init__(self, match: str) -> None:
        super().__init__(f"match {match} was retired")
        self.match = match


class KnownInLog(NamedTuple):
    """What a look-up found: keys with their body hash, and letters that are there already."""

    keys: Mapping[bytes, bytes] = {}
    letters: Set[LetterKey] = frozenset()


class _Place(NamedTuple):
    """Where in the input the fold stands."""

    batch: EventBatch
    topic: int  # number of its life
    letters_known: Set[LetterKey]


def letter_of(batch: EventBatch, event: Event, reason: str, detail: str) -> DeadLetter:
    """The dead letter that an event becomes."""
    origin = Origin(batch.topic, batch.partition, event.offset)
    match = event.raw.match
    return DeadLetter(reason, detail, origin, match.encode(), event.value, match)


class RecentKeys:
    """Keys that this writer itself appended, with their body hash.

    It may answer for the log because the fence makes it the only writer;
    what is not in here has to be looked up.
    """

    def __init__(self, kept: int = RECENT_KEYS) -> None:
        self._kept = kept
        self._new: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self._new.get(key) or self._old.get(key)

    def add(self, key: bytes, body_hash: bytes) -> None:
        if len(self._new) >= self._kept:
            self._old, self._new = self._new, {}
        self._new[key] = body_hash

    def clear(self) -> None:
        self._new, self._old = {}, {}


@dataclass(slots=True)
class _Match:
    """What the writer remembers of a match."""

    image: MatchImage
    name: bytes
    saved_seq: int  # of the newest saved image; -1 while `matches` has no row of it
    is_retired: bool


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
    letters: list[PlacedLetter] = field(default_factory=list)
    images: list[SavedImage] = field(default_factory=list)
    matches: list[NewMatch] = field(default_factory=list)
    repeats: int = 0
    next_offsets: dict[int, int] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not self.rows and not self.letters


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
        self.committed = (head.position, head.chain)
        self.committed_offsets = dict(offsets)
        self.checkpointed_at = datetime.min.replace(tzinfo=UTC)
        self.checkpointed_offsets = dict(offsets)
        self._topics = topics
        self._image_every = image_every
        self._recent = RecentKeys()
        self._matches: dict[str, _Match] = {}
        self.reset(head)

    def reset(self, head: Head) -> None:
        """Forget everything that is not committed."""
        self.position = head.position
        self.chain = head.chain
        self._appended_at_us = head.appended_at_us
        self._settling = SETTLING_ROWS
        self._matches.clear()
        self._recent.clear()
        # A checkpoint must never claim what a later piece has read and not committed.
        self._next_offsets = dict(self.committed_offsets)
        self.is_stale = False

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
        now = max(now, _EPOCH + timedelta(microseconds=self._appended_at_us))
        piece = Prepared(self.shard, self.position, self.chain, self.position, self.chain, now)
        self._appended_at_us = piece.appended_at_us = microseconds(now)
        touched: dict[str, _Match] = {}
        found = 0
        for batch in batches:
            place = _Place(batch, self._topics[batch.topic], known.letters)
            for entry in batch.entries:
                if isinstance(entry, DeadLetter):
                    self._reject(piece, place, entry)
                    continue
                there = self._recent.get(entry.key)
                if there is None and known.keys:
                    there = known.keys.get(entry.key)
                    found += there is not None
                if there is not None:
                    self._repeat(piece, place, entry, there)
                    continue
                try:
                    self._fold(piece, place.topic, entry, touched)
                except Exception as error:  # noqa: BLE001 - the fold is total: this is the event's own
                    reason = _REASONS.get(type(error), letters.FOLD_FAILED)
                    detail = f"{type(error).__name__}: {error}"
                    self._reject(piece, place, letter_of(batch, entry, reason, detail))
            following = max(self._next_offsets.get(place.topic, 0), batch.next_offset)
            self._next_offsets[place.topic] = following
        self._settling = SETTLING_ROWS if found else max(0, self._settling - len(piece.rows))
        self.position, self.chain = piece.position, piece.chain
        piece.next_offsets = dict(self._next_offsets)
        self._save_images(piece, touched)
        return piece

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
        piece.position, piece.chain = position, chain
        self._recent.add(event.key, event.body_hash)

    def _repeat(self, piece: Prepared, place: _Place, event: Event, there: bytes) -> None:
        """Count a repeat; the same identity with another body is a dead letter, unless it is derived."""
        if there == event.body_hash or type(event.raw) is DerivedRecord:
            piece.repeats += 1
            return
        detail = f"{event.raw.source_event_id} revision {event.raw.revision} is in the log with another body"
        self._reject(piece, place, letter_of(place.batch, event, letters.CONFLICTING_DUPLICATE, detail))

    def _reject(self, piece: Prepared, place: _Place, letter: DeadLetter) -> None:
        if (place.topic, place.batch.partition, letter.origin.offset) not in place.letters_known:
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
