"""A small installation with a log in it: records in Kafka, and what a correct append makes of them.

Written for tests of what reads the log. The append here is the naive one: a
record at a time, everything in memory, no lanes and no recovery.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec
from confluent_kafka import Message, Producer
from redis import Redis

from dataflows.decode import decode_batch
from schemas import letters
from schemas.batch import Control, Event, RawBatch
from schemas.fold import FOLD_VERSION, empty_image, fold
from schemas.identity import ZERO_CHAIN, next_chain
from schemas.image import MatchImage, encode_image
from schemas.legacy import LEGACY_VERSION, legacy_record_hash
from schemas.letters import DeadLetter, Origin
from schemas.live import LIVE_VERSION, encode_live_around
from schemas.log_position import chained
from schemas.pack import pack
from schemas.partitioning import partition_of
from schemas.raw import RAW_TOPICS, TOPIC_OF_SOURCE, DerivedRecord, RawEvent, source_of
from schemas.weight import importance_of, language_of
from settings import Settings
from sources.topic_lives import Topics
from storage.connect import connect
from storage.copy_rows import (
    COPY_CHECKPOINTS,
    COPY_EVENTS,
    COPY_IMAGES,
    COPY_LETTERS,
    COPY_MATCHES,
    Checkpoint,
    NewMatch,
    PlacedLetter,
    SavedImage,
    checkpoint_rows,
    event_row,
    image_rows,
    letter_rows,
    match_rows,
    microseconds,
)
from storage.resume import TopicLife, register_topics
from storage.simple_query import CopyIn, run
from storage.streams import stream_name

GENERATION = 1_700_000_000_000
_START = datetime(2024, 3, 16, 20, 0, tzinfo=UTC)
_IMAGE_EVERY = 5
_PACK_EVENTS = 4
_OWN = "INSERT INTO delivery_shards (shard, generation, fence) VALUES (%s, %s, gen_random_uuid())"


class Record:
    """A raw record on its way to Kafka; an event goes where it belongs unless told otherwise."""

    def __init__(
        self,
        event: RawEvent | None = None,
        *,
        value: bytes | None = None,
        topic: str = "",
        partition: int | None = None,
        key: bytes | None = None,
    ) -> None:
        self.event = event
        self.value = value if event is None else msgspec.json.encode(event)
        self.topic = topic or (TOPIC_OF_SOURCE[source_of(event)] if event is not None else "sensor-events")
        self.partition = partition
        self.key = key if event is None else event.match.encode()


class _Shard:
    def __init__(self) -> None:
        self.position = 0
        self.chain = ZERO_CHAIN
        self.rows: list[bytes] = []
        self.images: list[SavedImage] = []
        self.stream: list[tuple[int, bytes, bytes]] = []  # position, chain, payload


class LogBuilder:
    """Fills an installation; call `deliver` with records, then `write` once.

    `version`: of the rows; those of LEGACY_VERSION have the bytes and the hash that rows had then.
    """

    def __init__(self, settings: Settings, version: int = LIVE_VERSION) -> None:
        self._settings = settings
        self._version = version
        names = [settings.topic_prefix + topic for topic in RAW_TOPICS]
        lives = [
            TopicLife(t.name.removeprefix(settings.topic_prefix), t.cluster_id, t.topic_id)
            for t in Topics(settings.kafka, names, settings.shards).lives()
        ]
        with connect(settings.postgres, "touchline-test") as connection:
            self._numbers = register_topics(connection, lives)
        self._shards = {shard: _Shard() for shard in range(settings.shards)}
        self._matches: dict[str, MatchImage] = {}
        self._hashes: dict[bytes, bytes] = {}
        self._letters: list[PlacedLetter] = []
        self._offsets: dict[int, dict[int, int]] = {shard: {} for shard in self._shards}
        self._at = _START

    def produce(self, records: Iterable[Record]) -> list[Origin]:
        """Put records into Kafka, in order; return where each one is."""
        origins: dict[int, Origin] = {}
        # Idempotent: the order holds, so one flush for all will do.
        producer = Producer(
            {"bootstrap.servers": self._settings.kafka, "enable.idempotence": True, "log_level": 0}
        )
        for number, record in enumerate(records):
            producer.produce(
                self._settings.topic_prefix + record.topic,
                value=record.value,
                key=record.key,
                partition=self._home(record),
                on_delivery=partial(self._note, origins, number),
            )
        producer.flush()
        return [origins[number] for number in sorted(origins)]

    def _home(self, record: Record) -> int:
        if record.partition is not None:
            return record.partition
        match = record.event.match if record.event else (record.key or b"").decode()
        return partition_of(match, self._settings.shards)

    def _note(self, origins: dict[int, Origin], number: int, error: object, message: Message) -> None:
        assert error is None, error
        topic = str(message.topic()).removeprefix(self._settings.topic_prefix)
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        origins[number] = Origin(topic, partition, offset)

    def deliver(self, records: Sequence[Record]) -> list[Origin]:
        """Produce records, and append them as enrich would."""
        origins = self.produce(records)
        for record, origin in zip(records, origins, strict=True):
            batch = RawBatch(origin.topic, origin.partition, [(origin.offset, record.key, record.value)])
            (entry,) = decode_batch(batch, self._settings.shards).entries
            assert not isinstance(entry, Control)  # no lane is there to obey it
            self._append(self._as_then(entry) if isinstance(entry, Event) else entry, origin)
            self._offsets[origin.partition][self._numbers[origin.topic]] = origin.offset + 1
        return origins

    def _as_then(self, entry: Event) -> Event:
        if self._version != LEGACY_VERSION:
            return entry
        record = msgspec.json.encode(entry.raw, order="deterministic" if _is_derived(entry) else None)
        return msgspec.structs.replace(entry, record=record, body_hash=legacy_record_hash(record))

    def _append(self, entry: Event | DeadLetter, origin: Origin) -> None:
        number = self._numbers[origin.topic]
        if isinstance(entry, DeadLetter):
            self._letters.append(PlacedLetter(number, entry))
            return
        known = self._hashes.get(entry.key)
        if known is not None:
            if known != entry.body_hash and not _is_derived(entry):
                match = entry.raw.match
                letter = DeadLetter(
                    letters.CONFLICTING_DUPLICATE, "other body", origin, match.encode(), entry.value, match
                )
                self._letters.append(PlacedLetter(number, letter))
            return
        self._hashes[entry.key] = entry.body_hash
        self._append_event(entry, origin, number)

    def _append_event(self, entry: Event, origin: Origin, number: int) -> None:
        self._at += timedelta(milliseconds=7)
        shard, match = self._shards[origin.partition], entry.raw.match
        before = self._matches.get(match) or empty_image(match)
        image, live = fold(
            before, entry.raw, entry.key.hex(), self._at, importance_of(entry.raw), language_of(entry.raw)
        )
        live = msgspec.structs.replace(live, v=self._version)
        payload = encode_live_around(entry.record, live)
        self._matches[match] = image
        shard.position += 1
        shard.chain = next_chain(shard.chain, entry.key, entry.body_hash)
        shard.rows.append(
            event_row(
                origin.partition,
                shard.position,
                image.seq,
                entry.key,
                entry.body_hash,
                shard.chain,
                number,
                origin.offset,
                microseconds(entry.raw.occurred_at),
                microseconds(self._at),
                not _is_derived(entry),
                FOLD_VERSION,
                match.encode(),
                payload,
            )
        )
        shard.stream.append((shard.position, shard.chain, payload))
        if image.incidents is not before.incidents or image.seq % _IMAGE_EVERY == 0:
            saved = SavedImage(
                match, image.seq, origin.partition, shard.position, FOLD_VERSION, encode_image(image)
            )
            shard.images.append(saved)

    def image(self, match: str) -> MatchImage:
        """The state of a match after all that was delivered."""
        return self._matches[match]

    def write(self) -> None:
        """Store the log in Postgres and the streams in Redis."""
        shards = self._shards.values()
        matches = [
            NewMatch(match, partition_of(match, self._settings.shards), _START, FOLD_VERSION)
            for match in self._matches
        ]
        checkpoints = [
            Checkpoint(number, shard.position, self._offsets[number])
            for number, shard in self._shards.items()
        ]
        copies = [
            CopyIn(COPY_MATCHES, match_rows(matches)),
            CopyIn(COPY_EVENTS, b"".join(row for shard in shards for row in shard.rows)),
            CopyIn(COPY_LETTERS, letter_rows(self._letters, self._at)),
            CopyIn(COPY_IMAGES, image_rows([image for shard in shards for image in shard.images], self._at)),
            CopyIn(COPY_CHECKPOINTS, checkpoint_rows(checkpoints, self._at)),
        ]
        with connect(self._settings.postgres, "touchline-test") as connection:
            for shard in self._shards:
                connection.execute(_OWN, (shard, GENERATION))
            run(connection, b"BEGIN;", copies, b"COMMIT")
        self._fill_streams()

    def _fill_streams(self) -> None:
        with Redis.from_url(self._settings.redis) as redis:
            for number, shard in self._shards.items():
                for start in range(0, len(shard.stream), _PACK_EVENTS):
                    events = shard.stream[start : start + _PACK_EVENTS]
                    position, chain, _ = events[-1]
                    before = shard.stream[start - 1][1] if start else ZERO_CHAIN
                    fields = {
                        "f": events[0][0],
                        "c": chain,
                        "e": pack([payload for *_, payload in events]),
                        "h": chained(before, [chain for _, chain, _ in events]),
                    }
                    redis.xadd(stream_name(number, GENERATION), fields, id=f"{position}-0")


def _is_derived(entry: Event) -> bool:
    return isinstance(entry.raw, DerivedRecord)
