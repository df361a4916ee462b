"""Copy the offsets of a lane from the log to a consumer group, for Kafka's tools; no lane reads them.

The log says where a lane reads on. But kafka-consumer-groups, Burrow and KEDA
ask Kafka for the lag, and so the log's offsets are copied there.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from telemetry.log import Log

UNTOLD = "group_offsets.untold"
TOLD_AGAIN = "group_offsets.told_again"

_TELL_EVERY_SECONDS = 1.0
# Without a coordinator librdkafka keeps a commit and sends it later. Another one after so long
# says what is true by then, and more than a few never wait.
_ANSWER_WITHIN_SECONDS = 30.0

Place = tuple[str, int]  # topic with its prefix, partition


class GroupOffsets:
    """Copies offsets to a consumer group, on a thread of its own.

    Delivery: best effort, once a second at most, and once more at the end.
    Whatever Kafka answers, or whether it does, nobody waits and nothing stops:
    what could not be told is told with what comes next.
    """

    def __init__(self, bootstrap: str, group: str, standing: Callable[[], Mapping[Place, int]]) -> None:
        """`standing` says where the log stands, as next offsets; called on this object's thread."""
        self._config: dict[str, Any] = {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "on_commit": self._on_commit,
            "error_cb": _ignore,  # a commit that is not answered says so itself
            "reconnect.backoff.max.ms": 1_000,
            "log_level": 2,
        }
        self._standing = standing
        self._told: dict[Place, int] = {}
        self._telling: dict[Place, int] = {}
        self._trouble = ""
        self._log = Log("lane")
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="group-offsets", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def close(self, within: timedelta) -> None:
        """Tell what is left, for at most so long; what hangs is left behind."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(within.total_seconds())

    def _run(self) -> None:
        # Never subscribed: a commit of a group without members needs no rebalance and joins none.
        consumer = Consumer(self._config)
        waited = 0.0
        while not self._closing.is_set():
            if not self._telling or waited >= _ANSWER_WITHIN_SECONDS:
                self._tell(consumer)
                waited = 0.0
            consumer.poll(0)  # serves the answers
            self._closing.wait(_TELL_EVERY_SECONDS)
            waited += _TELL_EVERY_SECONDS
        self._tell(consumer)
        while self._telling:
            consumer.poll(0.1)

    def _tell(self, consumer: Consumer) -> None:
        standing = self._standing()
        news = {place: offset for place, offset in standing.items() if self._told.get(place) != offset}
        if not news:
            return
        offsets = [TopicPartition(*place, offset) for place, offset in news.items()]
        try:
            consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            self._note(str(error))
        else:
            self._telling = news

    def _on_commit(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        refused = [f"{each.topic}[{each.partition}]: {each.error}" for each in offsets if each.error]
        if error is None and not refused:
            self._told.update(self._telling)
        self._telling = {}
        self._note("" if error is None and not refused else str(error or refused[0]))

    def _note(self, trouble: str) -> None:
        """Say once that it does not work, and once that it does again."""
        if trouble and not self._trouble:
            self._log.warning(UNTOLD, detail=trouble)
        elif self._trouble and not trouble:
            self._log.info(TOLD_AGAIN)
        self._trouble = trouble


def _ignore(_: KafkaError) -> None:
    """Brokers that do not answer show as commits that are not answered."""
