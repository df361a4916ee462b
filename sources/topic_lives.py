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


def describe_topics(bootstrap: str, names: Sequence[str], partitions: int) -> list[LiveTopic]:
    """Ask the cluster for its id and the topics' ids; raise TopicMissingError when one does not fit."""
    return _describe(_admin(bootstrap), names, partitions)


def first_offsets(
    bootstrap: str, names: Sequence[str], partitions: Iterable[int]
) -> dict[tuple[str, int], int]:
    """(topic, partition) -> the first offset that is still there.

    A partition that does not answer is left out: it must not hold up the others.
    """
    admin = _admin(bootstrap)
    places = [TopicPartition(name, partition) for partition in partitions for name in names]
    answers = admin.list_offsets(dict.fromkeys(places, _EARLIEST), request_timeout=_FIRST_OFFSETS_SECONDS)
    found: dict[tuple[str, int], int] = {}
    for place in places:
        with suppress(KafkaException):
            found[place.topic, place.partition] = answers[place].result(_SECONDS).offset
    return found


class LifeWatch:
    """Compares the topics that a reader began with to those that the cluster holds now."""

    def __init__(self, bootstrap: str, lives: Sequence[LiveTopic]) -> None:
        self._admin = _admin(bootstrap)
        self._lives = {topic.name: topic for topic in lives}
        self._partitions = lives[0].partitions

    def replaced(self) -> tuple[LiveTopic, LiveTopic] | None:
        """A topic that is another one now, as it was and as it is.

        None when there is no answer, and for a topic that is gone: those are for the reader to notice.
        """
        try:
            now = _describe(self._admin, list(self._lives), self._partitions)
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


def _admin(bootstrap: str) -> AdminClient:
    config: dict[str, Any] = {"bootstrap.servers": bootstrap, "log_level": 2, "error_cb": lambda _: None}
    return AdminClient(config)


def _describe(admin: AdminClient, names: Sequence[str], partitions: int) -> list[LiveTopic]:
    cluster_id = admin.describe_cluster(request_timeout=_SECONDS).result(_SECONDS).cluster_id
    described: list[LiveTopic] = []
    for name, future in admin.describe_topics(TopicCollection(list(names)), request_timeout=_SECONDS).items():
        try:
            topic = future.result(_SECONDS)
        except Exception as error:
            raise TopicMissingError(name, str(error)) from error
        if len(topic.partitions) != partitions:
            raise TopicMissingError(name, f"it has {len(topic.partitions)} partitions, not {partitions}")
        described.append(LiveTopic(name, cluster_id, str(topic.topic_id), partitions))
    return described
