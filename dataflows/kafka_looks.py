"""Looking for what Kafka lacks: events after those in `live-events`, letters after those in `<topic>-dlq`."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from dataflows.kafka_records import letter_of
from dataflows.polling import Found
from dataflows.stream_plan import beginning
from schemas.log_position import LogPosition
from schemas.outlets import LIVE_EVENTS, dead_letter_topic, live_place
from schemas.raw import RAW_TOPICS
from settings import Settings
from sinks.availability import Availability
from sinks.kafka_outlet import KafkaOutlet
from sinks.last_records import Partition, TopicsUnreadableError, look_at_ends
from sinks.stream_repair import begin_generation, generations_of
from storage.reading import LogUnavailableError
from storage.relay_reads import Letter, LetterPlace, LogRun, RelayReads, ShardState
from storage.streams import StreamName, Streams, StreamsUnavailableError

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


def go_on_from(last: LogPosition | None, log: ShardState, retention: int) -> int:
    """The position after which a shard's events are missing in Kafka.

    Behind the last record where the log has that place. A topic without
    records gets what a new stream would get: readers find the rest in the
    log. One with another history gets all that came since that much before
    its last record: there the histories part, and what the log has instead
    was never sent.
    """
    if last is None:
        return beginning(log, retention)
    if log.chain_at == last.chain:
        return last.position
    return max(log.base.position, min(last.position, log.head.position) - retention)


def has_lost(last: LogPosition, log: ShardState) -> bool:
    """Whether a record is of a history that the log lost, and nobody said so with a new generation yet.

    A record of a later generation shows that the log lost the generation
    itself. What was dropped from the log says nothing.
    """
    if last.generation != log.generation:
        return last.generation > log.generation
    return last.position >= log.base.position and log.chain_at != last.chain


class LiveEventsLooker:
    """Finds the rows that `live-events` lacks.

    Where the last record is of a history that the log lost, it begins a new
    generation before it sends the other one: readers must not take what
    comes next for its continuation.
    """

    def __init__(
        self,
        settings: Settings,
        log: RelayReads,
        streams: Streams,
        outlet: KafkaOutlet,
        kafka: Availability,
        postgres: Availability,
        clock: Callable[[], float],
    ) -> None:
        """`streams` only say which generations there were; `clock` counts seconds and never goes back."""
        self._settings = settings
        self._log = log
        self._streams = streams
        self._outlet = outlet
        self._kafka = kafka
        self._postgres = postgres
        self._clock = clock
        self._life = 0
        self._last: dict[int, LogPosition] = {}  # of each shard, the last record in Kafka or on its way
        self._cursors: dict[int, LogPosition] = {}  # up to where its events are there
        self._barred: set[int] = set()  # shards whose partition is left out in this life of the outlet
        self._lives_seen_at: float | None = None  # None: a shard waits for its place
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
            runs, astray = self._log.after(self._cursors, self._limit)
        except TopicsUnreadableError as error:
            return Found((), self._kafka.lost(error.detail))
        except LogUnavailableError as error:
            return Found((), self._postgres.lost(error.detail))
        self._kafka.regained()
        self._postgres.regained()
        for run in runs:
            place = LogPosition(run.generation, run.rows[-1].position, run.rows[-1].chain)
            self._cursors[run.shard] = self._last[run.shard] = place
        for shard in astray:
            del self._cursors[shard]
            self._lives_seen_at = None
        is_full = any(len(run.rows) == self._limit for run in runs)
        return Found(runs, _AT_ONCE if is_full else _IDLE)

    def _read_last_records(self) -> None:
        """Learn what the partitions end with. One that cannot be read, or takes nothing, is left out.

        The outlet begins another life once its bar is over.
        """
        topic = self._settings.topic_prefix + LIVE_EVENTS
        shards = range(self._settings.shards)
        asked = [Partition(topic, shard) for shard in shards if not self._outlet.is_barred(topic, shard)]
        found = look_at_ends(self._settings.kafka, asked)
        for partition, reason in found.unreadable.items():
            self._outlet.bar(*partition, reason)
        self._barred = {shard for shard in shards if self._outlet.is_barred(topic, shard)}
        places = {partition.number: live_place(each) for partition, each in found.headers.items()}
        self._last = {shard: place for shard, place in places.items() if place}
        self._cursors = {}
        self._lives_seen_at = None

    def _notice_lives(self) -> None:
        """Give a place to every shard that began a generation, its first one included, or lost its place."""
        now = self._clock()
        if self._lives_seen_at is not None and now < self._lives_seen_at + _LIVES_EVERY_SECONDS:
            return
        self._lives_seen_at = now
        for log in self._log.states({shard: place.position for shard, place in self._last.items()}):
            known = self._cursors.get(log.shard)
            if log.shard in self._barred or (known is not None and known.generation == log.generation):
                continue
            last = self._last.get(log.shard)
            if last is not None and has_lost(last, log):
                self._begin_generation(last, log)
                continue
            place = self._log.place_at(log.shard, go_on_from(last, log, self._settings.stream_retention))
            if place is not None:
                self._cursors[log.shard] = LogPosition(log.generation, *place)

    def _begin_generation(self, last: LogPosition, log: ShardState) -> None:
        self._lives_seen_at = None
        seen = [last.generation]
        # Without Redis there is the clock: a generation is the time at which it began.
        with suppress(StreamsUnavailableError):
            seen += generations_of(self._streams, log.shard)
        parted = StreamName(log.shard, log.generation)
        begin_generation(self._log, parted, seen, last.position, log.head.position)


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
