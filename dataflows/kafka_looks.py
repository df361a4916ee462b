"""Looking for what Kafka lacks: events after those in `live-events`, letters after those in `<topic>-dlq`."""

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from dataflows.kafka_records import letter_of, place_of
from dataflows.polling import Found
from dataflows.stream_plan import beginning
from schemas.outlets import LIVE_EVENTS, dead_letter_topic
from schemas.raw import RAW_TOPICS
from settings import Settings
from sinks.availability import Availability
from sinks.kafka_outlet import KafkaOutlet
from sinks.last_records import Partition, TopicsUnreadableError, look_at_ends, read_last_headers
from storage.reading import LogUnavailableError
from storage.relay_reads import Letter, LetterPlace, LogRun, Place, RelayReads, ShardState

# Nobody waits for a screen behind `live-events`.
_IDLE = timedelta(milliseconds=100)
_IDLE_LETTERS = timedelta(milliseconds=250)
_AT_ONCE = timedelta(0)
# Kafka is slower than the log, or away.
_FULL = timedelta(milliseconds=50)
# How soon a shard's first life, or its next one, is noticed.
_LIVES_EVERY_SECONDS = 0.25
_ROWS = 10_000  # of one look, all shards together: some megabytes
_LETTERS = 200  # of one look; a letter may hold a megabyte


class Cursor(NamedTuple):
    """Up to where the events of a shard are in Kafka."""

    generation: int
    place: Place


def go_on_from(last: Place | None, log: ShardState, retention: int) -> int:
    """The position after which a shard's events are missing in Kafka.

    Behind the last record where the log has that place. A topic without
    records, or with another history, gets what a new stream would get:
    readers find the rest in the log.
    """
    if last is not None and log.chain_at == last.chain:
        return last.position
    return beginning(log, retention)


class LiveEventsLooker:
    """Finds the rows that `live-events` lacks."""

    def __init__(
        self,
        settings: Settings,
        log: RelayReads,
        outlet: KafkaOutlet,
        kafka: Availability,
        postgres: Availability,
        clock: Callable[[], float],
    ) -> None:
        """`clock` counts seconds and never goes back."""
        self._settings = settings
        self._log = log
        self._outlet = outlet
        self._kafka = kafka
        self._postgres = postgres
        self._clock = clock
        self._life = 0
        self._last: dict[int, Place] = {}
        self._cursors: dict[int, Cursor] = {}
        self._lives_seen_at = 0.0
        self._limit = max(1, _ROWS // settings.shards)

    def look(self) -> Found[LogRun]:
        """Look once; an outage is noted and comes back as a pause."""
        if not self._outlet.try_room():
            return Found((), _FULL)
        try:
            if self._life != self._outlet.life:
                self._read_last_records()
                self._life = self._outlet.life
            self._notice_lives()
            runs = self._log.after(
                {shard: (at.generation, at.place.position) for shard, at in self._cursors.items()},
                self._limit,
            )
        except TopicsUnreadableError as error:
            return Found((), self._kafka.lost(error.detail))
        except LogUnavailableError as error:
            return Found((), self._postgres.lost(error.detail))
        self._kafka.regained()
        self._postgres.regained()
        for run in runs:
            place = Place(run.rows[-1].position, run.rows[-1].chain)
            self._cursors[run.shard] = Cursor(run.generation, place)
            self._last[run.shard] = place
        is_full = any(len(run.rows) == self._limit for run in runs)
        return Found(runs, _AT_ONCE if is_full else _IDLE)

    def _read_last_records(self) -> None:
        topic = self._settings.topic_prefix + LIVE_EVENTS
        partitions = [Partition(topic, shard) for shard in range(self._settings.shards)]
        headers = read_last_headers(self._settings.kafka, partitions)
        places = {partition.number: place_of(each) for partition, each in headers.items()}
        self._last = {shard: place for shard, place in places.items() if place}
        self._cursors = {}
        self._lives_seen_at = 0.0

    def _notice_lives(self) -> None:
        """Give a place to every shard that began a life, its first one included."""
        now = self._clock()
        if now < self._lives_seen_at + _LIVES_EVERY_SECONDS:
            return
        for log in self._log.states({shard: place.position for shard, place in self._last.items()}):
            known = self._cursors.get(log.shard)
            if known is None or known.generation != log.generation:
                position = go_on_from(self._last.get(log.shard), log, self._settings.stream_retention)
                self._cursors[log.shard] = Cursor(log.generation, Place(position, b""))
        self._lives_seen_at = now


class LettersLooker:
    """Finds the dead letters that their `<topic>-dlq` lacks."""

    def __init__(
        self,
        settings: Settings,
        log: RelayReads,
        outlet: KafkaOutlet,
        kafka: Availability,
        postgres: Availability,
    ) -> None:
        self._settings = settings
        self._log = log
        self._outlet = outlet
        self._kafka = kafka
        self._postgres = postgres
        self._life = 0
        self._copied: dict[tuple[str, int], LetterPlace | None] = {}

    def look(self) -> Found[list[Letter]]:
        """Look once; an outage is noted and comes back as a pause."""
        if not self._outlet.try_room():
            return Found((), _FULL)
        try:
            if self._life != self._outlet.life:
                self._copied = self._read_copied()
                self._life = self._outlet.life
            letters = self._log.letters_after(self._copied, _LETTERS) if self._copied else []
        except TopicsUnreadableError as error:
            return Found((), self._kafka.lost(error.detail))
        except LogUnavailableError as error:
            return Found((), self._postgres.lost(error.detail))
        self._kafka.regained()
        self._postgres.regained()
        if not letters:
            return Found((), _IDLE_LETTERS)
        for letter in letters:
            self._copied[letter.topic, letter.partition] = letter.place
        return Found((letters,), _AT_ONCE if len(letters) == _LETTERS else _IDLE_LETTERS)

    def _read_copied(self) -> dict[tuple[str, int], LetterPlace | None]:
        """The last copied letter of each partition; None where nothing says which.

        All are copied then, as after a place that the table does not have:
        twice is harmless. A partition that cannot be read is barred and left
        out, and so is one that takes nothing: the others do not wait for it.
        """
        shards = range(self._settings.shards)
        copies = {
            Partition(self._settings.topic_prefix + dead_letter_topic(topic), shard): (topic, shard)
            for topic in RAW_TOPICS
            for shard in shards
        }
        asked = [partition for partition in copies if not self._outlet.is_barred(*partition)]
        last = look_at_ends(self._settings.kafka, asked)
        for partition, reason in last.unreadable.items():
            self._outlet.bar(*partition, reason)
        return {
            copies[partition]: letter_of(last.headers.get(partition, {}))
            for partition in asked
            if partition not in last.unreadable
        }
