"""The relay's way into Kafka: `live-events`, and `<topic>-dlq` for the dead letters of each raw topic."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from bytewax.outputs import DynamicSink, StatelessSinkPartition
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from sinks.availability import Availability
from sinks.serial_executor import SerialExecutor
from telemetry.metrics import counter

# Records that wait for Kafka before reading the log stops: some seconds' worth,
# and 40 MB of events at most.
_WAITING_ROOM = 50_000
_QUEUE_KBYTES = 256 * 1024
_RECORD_BYTES = 2 * 1024 * 1024  # above any topic's limit: the broker decides

_copied = counter("relay_copied_records", "Records handed to Kafka for live-events and dead-letter topics")


class KafkaRecord(NamedTuple):
    """What to produce, and where."""

    topic: str
    partition: int
    key: str | bytes | None
    value: bytes
    headers: list[tuple[str, str | bytes]]


class KafkaOutlet:
    """A producer that is thrown away as soon as it failed to deliver one record.

    Delivery: at least once, in order per partition. After a failure `life`
    is another number: whoever feeds the outlet reads again what the topics
    end with and goes on from there.
    """

    def __init__(self, bootstrap: str, availability: Availability) -> None:
        self._config: dict[str, Any] = {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,  # without it a retry of the client can swap records
            "acks": "all",
            "linger.ms": 50,
            "batch.num.messages": 10_000,
            "message.max.bytes": _RECORD_BYTES,
            "queue.buffering.max.messages": 2 * _WAITING_ROOM,
            "queue.buffering.max.kbytes": _QUEUE_KBYTES,
            "message.timeout.ms": 0,  # an outage is waited for; the bound is the waiting room
            "reconnect.backoff.max.ms": 1_000,
            "delivery.report.only.error": True,
            "on_delivery": self._on_failure,
            "error_cb": self._on_error,
            "log_level": 2,
        }
        self._availability = availability
        self._producer: Any = None
        self._failure = ""
        self._sent = False  # something is under way, or was delivered since the last look
        self.life = 0

    def try_room(self) -> bool:
        """Whether more may be sent now; begins another life after a failure."""
        if self._producer is not None:
            self._producer.poll(0)
        if self._failure:
            self._availability.lost(self._failure)
            self._drop_producer()
        if self._producer is None:
            if self._availability.is_resting:
                return False
            self._producer = Producer(self._config)
            self.life += 1
        waiting = len(self._producer)
        if waiting == 0 and self._sent:
            self._availability.regained()
            self._sent = False
        return waiting < _WAITING_ROOM

    def send(self, records: Sequence[KafkaRecord]) -> None:
        """Hand records to the client, which delivers them in the background."""
        if self._producer is None or self._failure:
            return  # they are read again in the next life
        produce = self._producer.produce
        self._sent = True
        try:
            for topic, partition, key, value, headers in records:
                produce(topic, value, key, partition, headers=headers)
        except (KafkaException, BufferError) as error:
            self._failure = str(error)
        else:
            _copied.add(len(records))

    def close(self, seconds: float) -> None:
        """Deliver what waits, for at most so long."""
        if self._producer is not None:
            self._producer.flush(seconds)
            self._drop_producer()

    def _drop_producer(self) -> None:
        self._producer.purge()
        self._producer = None
        self._failure = ""
        self._sent = False

    def _on_failure(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failure = f"{message.topic()}[{message.partition()}]: {error.str()}"

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._failure = error.str()
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._availability.lost(error.str())


class _OutletPartition(StatelessSinkPartition[list[KafkaRecord]]):
    def __init__(self, executor: SerialExecutor, outlet: KafkaOutlet) -> None:
        self._executor = executor
        self._outlet = outlet

    def write_batch(self, items: list[list[KafkaRecord]]) -> None:
        self._executor.start(lambda: self._send(items))

    def _send(self, batches: list[list[KafkaRecord]]) -> None:
        for records in batches:
            self._outlet.send(records)


class KafkaOutletSink(DynamicSink[list[KafkaRecord]]):
    """Hand batches of records to an outlet, on the thread that serves it.

    Delivery: that of the outlet, at least once.
    """

    def __init__(self, executor: SerialExecutor, outlet: KafkaOutlet) -> None:
        self._executor = executor
        self._outlet = outlet

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _OutletPartition:
        return _OutletPartition(self._executor, self._outlet)
