"""The edges of one lane of `enrich`: its settings, its Kafka source and its log sink."""

import atexit
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg

import settings as configuration
from dataflows.recovery_store import OwnStore
from resilience.clock_watch import watch_clock
from schemas.raw import RAW_TOPICS
from settings import Settings
from sinks.committer import Committer, Limits
from sinks.event_log import EventLogSink, part_of_shard
from sinks.group_offsets import GroupOffsets, Place
from sinks.live_streams import LivePublisher
from sources.kafka import KafkaSource, consumer_config
from sources.topic_lives import LiveTopic, Topics, watch_lives
from storage import resume
from storage.append import StaleFenceError
from storage.connect import connect
from storage.lane_reads import check_shards, lane_sessions
from storage.resume import TopicLife, TopicReplacedError
from telemetry import log as telemetry
from telemetry.log import Log

_PUBLISHED_WITHIN = timedelta(seconds=5)
# Nobody follows while this lane has its store: an answer takes milliseconds, and is not worth waiting for.
_TOLD_WITHIN = timedelta(seconds=0.5)
EXIT_FAILED = 70
EXIT_FENCED = os.EX_TEMPFAIL  # another holds the shards: start again with TOUCHLINE_TURN_WAIT
_LOOKS_EVERY_SECONDS = 0.05

LEFT = "lane.stopped"
REMOVED = "source.removed_unread"
TURN_TAKEN = "lane.turn_taken"

_log = Log("lane")


@dataclass(frozen=True)
class Lane:
    """What `enrich.build` needs."""

    settings: Settings
    source: KafkaSource
    sink: EventLogSink
    now: Callable[[], datetime]


def open_lane() -> Lane:
    """Connect a lane to its servers, as the environment says; raise by name what does not fit.

    What takes time comes before the lane takes its recovery store over: of a
    hand-over, fans notice only what comes after.
    """
    settings = configuration.load()
    telemetry.configure()
    shards = [shard for shard in range(settings.shards) if shard % settings.lane_count == settings.lane_index]
    store = OwnStore([part_of_shard(shard) for shard in shards])
    topics = Topics(settings.kafka, [settings.topic_prefix + topic for topic in RAW_TOPICS], settings.shards)
    lives = topics.lives()
    numbers = _number_topics(settings, lives)
    publisher = LivePublisher(settings.redis, settings.live_backlog_rows)
    committer = Committer(
        settings.postgres,
        numbers,
        Limits(settings.fold_ahead_rows, settings.transaction_rows, settings.image_every),
        publisher,
        clock=_now,
        on_fatal=_leave,
        lane=settings.lane,
    )

    # Before the log is asked: what it has not read by then, and Kafka no longer has, nobody will read.
    # Where no answer came the consumer finds out, and the next start says it.
    reading = _Reading(settings, shards, numbers, topics.first_offsets(shards))
    group = f"{settings.topic_prefix}touchline-enrich-{settings.lane_index}"
    told = GroupOffsets(settings.kafka, group, lambda: reading.standing(committer.committed_offsets()))
    stopping = threading.Event()
    source = KafkaSource(
        consumer_config(settings.kafka, group),
        shards,
        reading.starting_offsets,
        _now,
        settings.topic_prefix,
        settings.stop_at_end,
        stopping.is_set,
    )
    _tune_interpreter()
    _wait_for_turn(settings)
    store.take_over(settings.store_wait)
    # Not before: who still waits for its turn may be stopped at once.
    _stop_when_asked(stopping)
    watch_clock(_now, _leave)
    watch_lives(settings.kafka, lives, settings.shards, _leave_a_new_life, _leave)
    told.start()
    # Bytewax opens a sink's partition with its first record, and asks the log for offsets before. Which
    # process of a cluster has a partition is not known yet, and each would take the shards from the others.
    if store.is_alone:
        committer.own_all(shards)
    # A flow that ends commits what waits, gives Redis what was committed, and tells Kafka where it stands.
    atexit.register(told.close, _TOLD_WITHIN)
    atexit.register(publisher.close, _PUBLISHED_WITHIN)
    atexit.register(committer.close)
    return Lane(settings, source, EventLogSink(committer, shards), _now)


class _Reading:
    """Where the log says that each shard is read on."""

    def __init__(
        self,
        settings: Settings,
        shards: Sequence[int],
        numbers: Mapping[str, int],
        firsts: Mapping[Place, int],
    ) -> None:
        """`numbers` are of the topics' lives; `firsts` are the offsets that Kafka still has."""
        self._settings = settings
        self._shards = shards
        self._numbers = numbers
        self._firsts = firsts
        self._found: dict[int, dict[str, int]] = {}  # written once, by the worker that asks first

    def starting_offsets(self, shard: int) -> dict[str, int]:
        """Of all shards at once, when the first is asked for: by then no other lane moves them."""
        if not self._found:
            with connect(self._settings.postgres, "touchline-enrich-start") as connection:
                self._found = {each: self._read_on(connection, each) for each in self._shards}
        return self._found[shard]

    def _read_on(self, connection: psycopg.Connection, shard: int) -> dict[str, int]:
        following = resume.by_name(resume.next_offsets(connection, shard), self._numbers)
        for topic, offset in following.items():
            first = self._firsts.get((self._settings.topic_prefix + topic, shard), offset)
            if offset < first:
                resume.note_removed(connection, shard, self._numbers[topic], offset, first, _now())
                _log.error(REMOVED, topic=topic, partition=shard, following=offset, first=first)
                following[topic] = first
        return following

    def standing(self, committed: Mapping[int, Mapping[int, int]]) -> dict[Place, int]:
        """Next offsets as the log has them now: as they were found, and what was `committed` since."""
        named = {shard: resume.by_name(offsets, self._numbers) for shard, offsets in committed.items()}
        return {
            (self._settings.topic_prefix + topic, shard): offset
            for shard, offsets in (self._found | named).items()
            for topic, offset in offsets.items()
        }


def _wait_for_turn(settings: Settings) -> None:
    """Let another process that writes as this lane go on, until it is gone or the time is over.

    Who takes shards over throws out who has them: a lane that was thrown out
    would do so in turn, for ever. Gone means that its session has ended, so a
    lane that dies meanwhile is followed at once; one that hangs, in the end.
    """
    if not settings.turn_wait:
        return
    ends = time.monotonic() + settings.turn_wait.total_seconds()
    with connect(settings.postgres, "touchline-enrich-start") as connection:
        while any(session.lane == settings.lane for session in lane_sessions(connection)):
            if time.monotonic() >= ends:
                _log.warning(TURN_TAKEN, waited=settings.turn_wait.total_seconds())
                return
            time.sleep(_LOOKS_EVERY_SECONDS)


def _number_topics(settings: Settings, lives: Sequence[LiveTopic]) -> dict[str, int]:
    with connect(settings.postgres, "touchline-enrich-start") as connection:
        check_shards(connection, settings.shards)
        return resume.register_topics(connection, [_life_of(topic, settings.topic_prefix) for topic in lives])


def _life_of(topic: LiveTopic, prefix: str) -> TopicLife:
    return TopicLife(topic.name.removeprefix(prefix), topic.cluster_id, topic.topic_id)


def _leave_a_new_life(before: LiveTopic, now: LiveTopic) -> None:
    _leave(TopicReplacedError(_life_of(now, ""), _life_of(before, "")))


def _stop_when_asked(stopping: threading.Event) -> None:
    """Let SIGTERM end the flow instead of the process: it closes its flow epoch and commits what it read."""

    def ask(*_: object) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, ask)


def _tune_interpreter() -> None:
    """Settings of CPython that the hot path was measured with."""
    # Each wake of a thread waits this long for the GIL: 5 ms (the default) cost 12% of a lane's rate.
    sys.setswitchinterval(0.001)
    # What is loaded by now lives as long as the process; collecting it again gave 1.3-2.7x away.
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)


def _now() -> datetime:
    return datetime.now(UTC)


def _leave(error: BaseException) -> None:
    """End the process from another thread: an idle worker would not notice for long."""
    _log.error(LEFT, kind=type(error).__name__, detail=str(error))
    logging.shutdown()
    os._exit(EXIT_FENCED if isinstance(error, StaleFenceError) else EXIT_FAILED)
