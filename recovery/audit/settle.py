"""Wait until nothing is under way: the log has read Kafka to the end, Redis has what the log has."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from recovery.audit.kafka_reads import KafkaReads, TopicCut
from recovery.audit.meter import Meter
from recovery.audit.raw_check import verdict
from recovery.audit.servers import Servers
from recovery.audit.stream_check import PackDamagedError, read_entry
from schemas.control import ControlRecord
from schemas.identity import hash_said, key_of
from schemas.legacy import is_same_body
from schemas.outlets import LIVE_EVENTS, Headers, dead_letter_topic, letter_copy, live_place, outlet_topics
from schemas.raw import DerivedRecord
from schemas.validation import Rejection
from storage.audit_reads import AuditReads, ShardRow, TopicLife
from storage.streams import stream_name

_LOOK_EVERY_SECONDS = 0.1
# Repeats leave no trace in the log, so a tail of nothing but repeats looks
# unread. Once nothing has moved for this long, the tail itself is read.
_STILL_SECONDS = 1.0
_LONGEST_TAIL = 20_000


class Behind(NamedTuple):
    """A partition that the log has not read to the end."""

    cut: TopicCut
    partition: int
    next_offset: int
    end: int

    def __str__(self) -> str:
        of = f"{self.cut.name}[{self.partition}]"
        return f"{of}: read up to offset {self.next_offset}, {self.end - self.next_offset} records missing"


def number_lives(cuts: Sequence[TopicCut], lives: Sequence[TopicLife], cluster_id: str) -> dict[str, int]:
    """Topic -> the number of its present life, for those that the log has read from."""
    numbers = {life.topic_id: life.number for life in lives if life.cluster_id == cluster_id}
    return {cut.topic: numbers[cut.topic_id] for cut in cuts if cut.topic_id in numbers}


def read_offsets(log: AuditReads, cuts: Sequence[TopicCut], cluster_id: str) -> dict[tuple[str, int], int]:
    """(topic, partition) -> the offset that the log reads next."""
    numbers = number_lives(cuts, log.topics_now(), cluster_id)
    progress = log.progress()
    return {
        (cut.topic, partition): progress.get((partition, numbers.get(cut.topic, -1)), first)
        for cut in cuts
        for partition, (first, _) in cut.ranges.items()
    }


def find_behind(cuts: Sequence[TopicCut], offsets: Mapping[tuple[str, int], int]) -> list[Behind]:
    """Partitions whose end is not reached."""
    return [
        Behind(cut, partition, max(first, offsets[cut.topic, partition]), end)
        for cut in cuts
        for partition, (first, end) in cut.ranges.items()
        if max(first, offsets[cut.topic, partition]) < end
    ]


class Settling:
    """The wait; `clock` in seconds, `pause` waits for so many."""

    def __init__(
        self,
        servers: Servers,
        cuts: Sequence[TopicCut],
        shards: int,
        clock: Callable[[], float],
        pause: Callable[[float], None],
    ) -> None:
        self._servers = servers
        self._cuts = cuts
        self._shards = shards
        self._clock = clock
        self._pause = pause
        self._cluster_id = servers.kafka.cluster_id()

    def wait(self, seconds: float, meter: Meter, outlets: bool = False) -> list[str]:
        """Return what is still behind when the time is over; empty once all has settled."""
        deadline = self._clock() + seconds
        standing = self._wait_for_kafka(deadline, meter)
        standing = standing or self._wait_for_redis(deadline, meter)
        return standing or (self._wait_for_outlets(deadline, meter) if outlets else [])

    def _wait_for_outlets(self, deadline: float, meter: Meter) -> list[str]:
        """Until the last record of each partition is of the log's head, or of its last dead letter."""
        meter.begin("waiting for Kafka's copies to have what the log has", 1)
        reads = self._servers.log
        wanted: dict[tuple[str, int], ShardRow | int] = {
            (LIVE_EVENTS, shard.shard): shard
            for shard in reads.shards_now(self._shards).values()
            if shard.head > shard.base_position
        }
        wanted |= {
            (dead_letter_topic(topic), p): letter for (topic, p), letter in reads.last_letters_now().items()
        }
        while True:
            cuts = {cut.topic: cut for cut in self._servers.kafka.cut(outlet_topics())}
            for (topic, partition), last in tuple(wanted.items()):
                if topic not in cuts or self._has_come(last, self._last_headers(cuts[topic], partition)):
                    del wanted[topic, partition]
            if not wanted or self._clock() >= deadline:
                return [
                    f"{topic}[{partition}]: not at {last if isinstance(last, int) else last.head} yet"
                    for (topic, partition), last in wanted.items()
                ]
            self._pause(_LOOK_EVERY_SECONDS)

    def _has_come(self, last: ShardRow | int, headers: Headers) -> bool:
        """Whether a record is of a shard's head, of a letter, or of what follows it in the log of now."""
        # What a database has lost may be in Kafka, under the positions and numbers that it gave again.
        if isinstance(last, int):
            copy = letter_copy(headers)
            return (
                copy is not None
                and copy.letter >= last
                and self._servers.log.has_letter_now(copy.letter, copy.rejected_at)
            )
        place = live_place(headers)
        if place is None or place.position < last.head:
            return False
        return place.chain == last.chain or place.generation >= last.generation

    def _last_headers(self, cut: TopicCut, partition: int) -> Headers:
        first, end = cut.ranges[partition]
        records = self._servers.kafka.outlet_records(cut.name, partition, max(first, end - 1), end)
        return next((record.headers for batch in records for record in batch), {})

    def _wait_for_kafka(self, deadline: float, meter: Meter) -> list[str]:
        total = sum(cut.records for cut in self._cuts)
        meter.begin("waiting for the log to read Kafka", total)
        before: list[Behind] = []
        moved_at = self._clock()
        while True:
            offsets = read_offsets(self._servers.log, self._cuts, self._cluster_id)
            behind = find_behind(self._cuts, offsets)
            meter.reached(total - sum(b.end - b.next_offset for b in behind))
            if behind != before:
                before, moved_at = behind, self._clock()
            elif self._clock() - moved_at >= _STILL_SECONDS:
                behind = [b for b in behind if not self._is_all_repeats(b)]
                moved_at = self._clock()
            if not behind:
                return []
            if self._clock() >= deadline:
                return [str(b) for b in behind]
            self._pause(_LOOK_EVERY_SECONDS)

    def _is_all_repeats(self, behind: Behind) -> bool:
        if behind.end - behind.next_offset > _LONGEST_TAIL:
            return False
        return is_all_repeats(self._servers.kafka, self._servers.log, behind, self._shards)

    def _wait_for_redis(self, deadline: float, meter: Meter) -> list[str]:
        meter.begin("waiting for Redis to have what the log has", 1)
        while True:
            standing = [
                f"{key}: at position {top}, the log at {head}" for key, top, head in self._lagging_streams()
            ]
            if not standing or self._clock() >= deadline:
                return standing
            self._pause(_LOOK_EVERY_SECONDS)

    def _lagging_streams(self) -> list[tuple[str, int, int]]:
        lagging: list[tuple[str, int, int]] = []
        for shard in self._servers.log.shards_now(self._shards).values():
            if shard.head == shard.base_position:
                continue
            key = stream_name(shard.shard, shard.generation)
            entry = self._servers.streams.top(key)
            try:
                top = read_entry(entry).last if entry else 0
            except PackDamagedError:
                continue  # waiting does not mend it; the audit names it
            if top < shard.head:
                lagging.append((key, top, shard.head))
        return lagging


def is_all_repeats(kafka: KafkaReads, log: AuditReads, behind: Behind, shards: int) -> bool:
    """Whether everything that looks unread in a partition is in the log already."""
    cut, partition = behind.cut, behind.partition
    for batch in kafka.records(cut.name, partition, behind.next_offset, behind.end):
        identities: dict[tuple[bytes, bytes | None], bytes | None] = {}
        for record in batch:
            found = verdict(cut.topic, partition, shards, record.value)
            if isinstance(found, Rejection | ControlRecord):
                return False
            # Of derived records the first write wins, whatever the later ones say.
            body = None if isinstance(found.event, DerivedRecord) else hash_said(found.said)
            identities[key_of(found.event), body] = record.value
        there = log.bodies_now([key for key, _ in identities])
        if any(
            key not in there or (body is not None and not is_same_body(there[key], body, value))
            for (key, body), value in identities.items()
        ):
            return False
    return True
