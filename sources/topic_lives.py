"""Which life of a topic the cluster holds now, and from where: a topic that was recreated has another id."""

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
# A reader does not notice by itself when the new life has its offset already. What it takes
# from there until then is in the log under the old life, and is found again by its identity.
_LOOK_EVERY_SECONDS = 5.0


class LiveTopic(NamedTuple):
    """A topic as the cluster describes it."""

    name: str
    cluster_id: str
    topic_id: str
    partitions: int


class TopicMissingError(RuntimeError):
    """A topic that must be there is not, or has another number of partitions."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"topic {topic}: {reason}; ./dev prepare creates what is missing")
        self.topic = topic
        self.reason = reason


class Topics:
    """Asks a cluster about some topics of `partitions` partitions each."""

    def __init__(self, bootstrap: str, names: Sequence[str], partitions: int) -> None:
        config: dict[str, Any] = {
            "bootstrap.servers": bootstrap,
            "log_level": 2,
            "error_cb": lambda _: None,
        }
        self._admin = AdminClient(config)
        self._names = list(names)
        self._partitions = partitions

    def lives(self) -> list[LiveTopic]:
        """The cluster's id and the topics' ids now; raise TopicMissingError when one does not fit."""
        cluster_id = self._admin.describe_cluster(request_timeout=_SECONDS).result(_SECONDS).cluster_id
        asked = self._admin.describe_topics(TopicCollection(self._names), request_timeout=_SECONDS)
        described: list[LiveTopic] = []
        for name, future in asked.items():
            try:
                topic = future.result(_SECONDS)
            except Exception as error:
                raise TopicMissingError(name, str(error)) from error
            if len(topic.partitions) != self._partitions:
                reason = f"it has {len(topic.partitions)} partitions, not {self._partitions}"
                raise TopicMissingError(name, reason)
            described.append(LiveTopic(name, cluster_id, str(topic.topic_id), self._partitions))
        return described

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

    def __init__(self, bootstrap: str, lives: Sequence[LiveTopic]) -> None:
        self._lives = {topic.name: topic for topic in lives}
        self._topics = Topics(bootstrap, list(self._lives), lives[0].partitions)

    def replaced(self) -> tuple[LiveTopic, LiveTopic] | None:
        """A topic that is another one now, as it was and as it is.

        None when there is no answer, and for a topic that is gone: those are for the reader to notice.
        """
        try:
            now = self._topics.lives()
        except (KafkaException, TopicMissingError, TimeoutError):
            return None
        return next(((self._lives[t.name], t) for t in now if t != self._lives[t.name]), None)


def watch_lives(
    bootstrap: str, lives: Sequence[LiveTopic], on_replaced: Callable[[LiveTopic, LiveTopic], None]
) -> None:
    """Look every few seconds from now on, on a thread of its own; call back with a topic before and now."""
    watch = LifeWatch(bootstrap, lives)

    def run() -> None:
        while True:
            time.sleep(_LOOK_EVERY_SECONDS)
            found = watch.replaced()
            if found is not None:
                on_replaced(*found)

    threading.Thread(target=run, name="topic-watch", daemon=True).start()
