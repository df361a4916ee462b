"""A log that grows while a test looks on: correct rows in Postgres, packs in Redis when told so."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, NamedTuple, Self

from redis import Redis

from schemas.fold import FOLD_VERSION, advance, empty_image, fold
from schemas.identity import ZERO_CHAIN, body_hash, key_of, next_chain
from schemas.image import MatchImage, encode_image
from schemas.live import decode_live, encode_live_around
from schemas.log_position import chained
from schemas.pack import pack
from schemas.partitioning import partition_of
from schemas.raw import DerivedRecord, RawEvent
from settings import Settings
from storage.connect import connect
from storage.copy_rows import (
    COPY_EVENTS,
    COPY_IMAGES,
    COPY_MATCHES,
    NewMatch,
    SavedImage,
    event_row,
    image_rows,
    match_rows,
    microseconds,
)
from storage.simple_query import CopyIn, run
from storage.streams import stream_name
from tests.event_builders import as_read

GENERATION = 1_700_000_000_000
START = datetime(2024, 3, 16, 20, 0, tzinfo=UTC)
IMAGE_EVERY = 20
_TOPIC = 1

_OWN = """
INSERT INTO delivery_shards (shard, generation, fence) VALUES (%s, %s, gen_random_uuid())
ON CONFLICT (shard) DO UPDATE SET generation = excluded.generation
"""


class Placed(NamedTuple):
    """An event as stored."""

    shard: int
    position: int
    seq: int
    chain: bytes
    payload: bytes


class _Shard:
    def __init__(self) -> None:
        self.position = 0
        self.chain = ZERO_CHAIN
        self.placed: list[Placed] = []
        self.published = 0


class LiveLog:
    """Appends as the real sink does, in one transaction a call; publishes to Redis only when asked."""

    def __init__(self, settings: Settings, generation: int = GENERATION) -> None:
        self.settings = settings
        self.generation = generation
        self._connection = connect(settings.postgres, "touchline-test")
        self._redis = Redis.from_url(settings.redis)
        self._shards = {shard: _Shard() for shard in range(settings.shards)}
        self._images: dict[str, MatchImage] = {}
        self._at = START
        for shard in self._shards:
            self._connection.execute(_OWN, (shard, generation))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()
        self._redis.close()

    def append(self, events: Sequence[RawEvent]) -> list[Placed]:
        """Commit events; streams know nothing of them yet."""
        rows, images, new_matches, placed = [], [], [], []
        for event in events:
            self._at += timedelta(milliseconds=5)
            before = self._images.get(event.match)
            if before is None:
                before = empty_image(event.match)
                shard_number = partition_of(event.match, self.settings.shards)
                new_matches.append(NewMatch(event.match, shard_number, START, FOLD_VERSION))
            place, image = self._place(event, before)
            placed.append(place)
            rows.append(self._row(event, place))
            if image.incidents is not before.incidents or image.seq % IMAGE_EVERY == 0:
                images.append(
                    SavedImage(
                        event.match, image.seq, place.shard, place.position, FOLD_VERSION, encode_image(image)
                    )
                )
        copies = [
            CopyIn(COPY_MATCHES, match_rows(new_matches)),
            CopyIn(COPY_EVENTS, b"".join(rows)),
            CopyIn(COPY_IMAGES, image_rows(images, self._at)),
        ]
        run(self._connection, b"BEGIN;", copies, b"COMMIT")
        return placed

    def _place(self, event: RawEvent, before: MatchImage) -> tuple[Placed, MatchImage]:
        number = partition_of(event.match, self.settings.shards)
        shard, key = self._shards[number], key_of(event)
        image, live = fold(before, event, key.hex(), self._at, 1, "und")
        self._images[event.match] = image
        shard.position += 1
        shard.chain = next_chain(shard.chain, key, body_hash(event))
        place = Placed(
            number, shard.position, image.seq, shard.chain, encode_live_around(as_read(event).record, live)
        )
        shard.placed.append(place)
        return place, image

    def _row(self, event: RawEvent, place: Placed) -> bytes:
        return event_row(
            place.shard,
            place.position,
            place.seq,
            key_of(event),
            body_hash(event),
            place.chain,
            _TOPIC,
            place.position,
            microseconds(event.occurred_at),
            microseconds(self._at),
            not isinstance(event, DerivedRecord),
            FOLD_VERSION,
            event.match.encode(),
            place.payload,
        )

    def publish(self) -> None:
        """Write to Redis what was committed since the last call, one pack a shard."""
        for number, shard in self._shards.items():
            waiting = shard.placed[shard.published :]
            if waiting:
                self.publish_pack(number, waiting)

    def publish_pack(self, number: int, placed: Sequence[Placed]) -> None:
        """Write one pack to a shard's stream."""
        fields: dict[Any, Any] = {
            "f": placed[0].position,
            "c": placed[-1].chain,
            "e": pack([place.payload for place in placed]),
            "h": chained(self._chain_at(number, placed[0].position - 1), [place.chain for place in placed]),
        }
        self._redis.xadd(stream_name(number, self.generation), fields, id=f"{placed[-1].position}-0")
        self._shards[number].published = placed[-1].position

    def publish_as_before(self, number: int, placed: Sequence[Placed]) -> None:
        """Write one pack as the release before did, without chains."""
        fields: dict[Any, Any] = {
            "f": placed[0].position,
            "c": placed[-1].chain,
            "e": pack([place.payload for place in placed]),
        }
        self._redis.xadd(stream_name(number, self.generation), fields, id=f"{placed[-1].position}-0")
        self._shards[number].published = placed[-1].position

    def _chain_at(self, number: int, position: int) -> bytes:
        return self._shards[number].placed[position - 1].chain if position else ZERO_CHAIN

    def say(self, events: Sequence[RawEvent]) -> list[Placed]:
        """Commit and publish."""
        placed = self.append(events)
        self.publish()
        return placed

    def flush_streams(self) -> None:
        """Lose all streams, as FLUSHALL does."""
        self._redis.flushdb()

    def begin_generation(self) -> int:
        """Let every shard begin another life, with the same events so far; streams start empty."""
        self.generation += 1
        for number, shard in self._shards.items():
            self._connection.execute(_OWN, (number, self.generation))
            shard.published = shard.position
        return self.generation

    def lose_after(self, match: str, seq: int) -> None:
        """Lose the end of the log of a match that is alone in its shard, as a failover does.

        The generation stays; whatever is appended next continues another history.
        """
        number = partition_of(match, self.settings.shards)
        shard = self._shards[number]
        position = next(place.position for place in shard.placed if place.seq == seq)
        assert shard.placed[-1].seq - seq == len(shard.placed) - position, "another match is in this shard"
        with self._connection.transaction():
            self._connection.execute(
                "DELETE FROM events WHERE shard = %s AND position > %s", (number, position)
            )
            self._connection.execute(
                "DELETE FROM images WHERE shard = %s AND position > %s", (number, position)
            )
        del shard.placed[position:]
        shard.position, shard.chain = position, shard.placed[-1].chain
        shard.published = min(shard.published, position)
        image = empty_image(match)
        for place in shard.placed:
            image = advance(image, decode_live(place.payload).event)
        self._images[match] = image

    def drop_before(self, shard: int, position: int) -> None:
        """Drop a shard's history below a position, as retention does."""
        chain = self._shards[shard].placed[position - 2].chain
        with self._connection.transaction():
            self._connection.execute(
                "UPDATE delivery_shards SET base_position = %s, base_chain = %s WHERE shard = %s",
                (position - 1, chain.hex(), shard),
            )
            self._connection.execute(
                "DELETE FROM events WHERE shard = %s AND position < %s", (shard, position)
            )

    def chain(self, match: str, seq: int | None = None) -> str:
        """The chain at an event of a match, the last one if not said, as the gateway writes it."""
        placed = self._shards[partition_of(match, self.settings.shards)].placed
        if seq is not None:
            return next(
                place.chain for place in placed if place.seq == seq and self._is_of(match, place)
            ).hex()
        return next(place.chain for place in reversed(placed) if self._is_of(match, place)).hex()

    def _is_of(self, match: str, place: Placed) -> bool:
        return decode_live(place.payload).event.match == match

    def image(self, match: str) -> MatchImage:
        """The state of a match after all that was appended."""
        return self._images[match]
