"""The raw topics as the cluster has them: their lives, their partitions, and where those begin.

A topic that was recreated has another id, and one that was given more
partitions holds records where no lane reads.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

_SECONDS = 10.0
_FIRST_OFFSETS_SECONDS = 5.0
_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
# A reader does not notice by itself when the new life has its offset already. What it takes
# from there until then is in the log under the old life, and is found again by its identity.
_LOOK_EVERY_SECONDS = 5.0


class LiveTopic(NamedTuple):
    """A topic as the cluster describes it."""

    name: str
    cluster_id: str
    topic_id: str
    partitions: int

    @property
    def life(self) -> tuple[str, str]:
        """What changes when the topic is made anew; more partitions are no new life."""
        return self.cluster_id, self.topic_id


class TopicMissingError(RuntimeError):
    """A topic that must be there is not."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"topic {topic}: {reason}; ./dev prepare creates what is missing")
        self.topic = topic
        self.reason = reason


class PartitionCountError(RuntimeError):
    """A raw topic lacks partitions, or has records in partitions beyond the shards, which nobody reads.

    Partitions beyond the shards that are empty do no harm.
    """

    remedy = (
        "./dev recovery topics fit makes the topics fit: it adds partitions that are missing, and sends the"
        " records of those beyond the shards to the partitions of their matches. --dry-run says what it would"
        " do. Do so only when TOUCHLINE_SHARDS is right, and let producers choose partitions by it."
    )

    def __init__(self, topic: str, partitions: int, shards: int, unread: int) -> None:
        lies = f", and {unread} records lie in those that no lane reads" if unread else ""
        super().__init__(
            f"topic {topic} has {partitions} partitions, TOUCHLINE_SHARDS is {shards}{lies}. {self.remedy}"
        )
        self.topic = topic
        self.partitions = partitions
        self.shards = shards
        self.unread = unread


class Topics:
    """Asks a cluster about some topics, which have a partition for each shard."""

    def __init__(self, bootstrap: str, names: Sequence[str], shards: int) -> None:
        config: dict[str, Any] = {
            "bootstrap.servers": bootstrap,
            "log_level": 2,
            "error_cb": lambda _: None,
        }
        self._admin = AdminClient(config)
        self._names = list(names)
        self._shards = shards

    def lives(self) -> list[LiveTopic]:
        """The topics as they are now; raise TopicMissingError, PartitionCountError."""
        cluster_id = self._admin.describe_cluster(request_timeout=_SECONDS).result(_SECONDS).cluster_id
        asked = self._admin.describe_topics(TopicCollection(self._names), request_timeout=_SECONDS)
        described: list[LiveTopic] = []
        for name, future in asked.items():
            try:
                topic = future.result(_SECONDS)
            except Exception as error:
                raise TopicMissingError(name, str(error)) from error
            found = len(topic.partitions)
            unread = self._records(name, range(self._shards, found))
            if found < self._shards or unread:
                raise PartitionCountError(name, found, self._shards, unread)
            described.append(LiveTopic(name, cluster_id, str(topic.topic_id), found))
        return described

    def _records(self, name: str, partitions: Iterable[int]) -> int:
        """How many offsets these partitions hold; raise KafkaException."""
        places = [TopicPartition(name, partition) for partition in partitions]
        if not places:
            return 0
        self._admin.list_topics(name, timeout=_SECONDS)
        ends, firsts = (
            self._admin.list_offsets(dict.fromkeys(places, which), request_timeout=_SECONDS)
            for which in (_LATEST, _EARLIEST)
        )
        return sum(
            int(ends[place].result(_SECONDS).offset - firsts[place].result(_SECONDS).offset)
            for place in places
        )

    def first_offsets(self, partitions: Iterable[int]) -> dict[tuple[str, int], int]:
        """(topic, partition) -> the first offset that is still there.

        A partition that does not answer is left out: it must not hold up the others.
        """
        # librdkafka asks for leaders first, and overhears the answer now and then when the connection
        # is as new as the question: it then repeats it after 3 s. Here the leaders are known already.
        with suppress(KafkaException):
            for name in self._names:
                self._admin.list_topics(name, timeout=_SECONDS)
        places = [TopicPartition(name, partition) for partition in partitions for name in self._names]
        asked = dict.fromkeys(places, _EARLIEST)
        answers = self._admin.list_offsets(asked, request_timeout=_FIRST_OFFSETS_SECONDS)
        found: dict[tuple[str, int], int] = {}
        for place in places:
            with suppress(KafkaException):
                found[place.topic, place.partition] = answers[place].result(_SECONDS).offset
        return found


class LifeWatch:
    """Compares the topics that a reader began with to those that the cluster holds now."""

    def __init__(self, bootstrap: str, lives: Sequence[LiveTopic], shards: int) -> None:
        self._lives = {topic.name: topic for topic in lives}
        self._topics = Topics(bootstrap, list(self._lives), shards)

    def replaced(self) -> tuple[LiveTopic, LiveTopic] | None:
        """A topic that is another one now, as it was and as it is; raise PartitionCountError.

        None when there is no answer, and for a topic that is gone: those are for the reader to notice.
        """
        try:
            now = self._topics.lives()
        except (KafkaException, TopicMissingError, TimeoutError):
            return None
        return next(((self._lives[t.name], t) for t in now if t.life != self._lives[t.name].life), None)


def watch_lives(
    bootstrap: str,
    lives: Sequence[LiveTopic],
    shards: int,
    on_replaced: Callable[[LiveTopic, LiveTopic], None],
    on_misfit: Callable[[PartitionCountError], None],
) -> None:
    """Look every few seconds from now on, on a thread of its own; call back with what does not fit."""
    watch = LifeWatch(bootstrap, lives, shards)

    def run() -> None:
        while True:
            time.sleep(_LOOK_EVERY_SECONDS)
            try:
                found = watch.replaced()
            except PartitionCountError as error:
                on_misfit(error)
                continue
            if found is not None:
                on_replaced(*found)

    threading.Thread(target=run, name="topic-watch", daemon=True).start()
