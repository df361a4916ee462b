"""The relay's way into Kafka: `live-events`, and `<topic>-dlq` for the dead letters of each raw topic."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from bytewax.outputs import DynamicSink, StatelessSinkPartition
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]

from schemas.outlets import COPIED_BYTES
from sinks.availability import Availability
from sinks.record_fit import KafkaRecord, fitted, stub_of
from sinks.serial_executor import SerialExecutor
from telemetry.log import Log
from telemetry.metrics import counter

BARRED = "outlet.partition_barred"
STUBBED = "outlet.record_refused"

# Records that wait for Kafka before reading the log stops: some seconds' worth,
# and 40 MB of events at most.
_WAITING_ROOM = 50_000
_QUEUE_KBYTES = 256 * 1024
# Copies are no larger even where a topic takes more: 200 of them wait at once.
_MOST_BYTES = 1024 * 1024
# Nobody sets less than a stub takes, whatever a refusal seems to say.
_LEAST_BYTES = 2_000
_BATCH_RECORDS = 10_000
_FRAME_BYTES = 200  # of a batch, besides what librdkafka counts
_CONFIG_SECONDS = 2.0
_LIMIT = "max.message.bytes"
# How long a partition that takes nothing is left alone while the others go on.
_BARRED_SECONDS = 5.0
_STUBS_REMEMBERED = 10_000

# The record's own fault: a stub goes in its place.
_REFUSED = frozenset({KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG_SIZE, KafkaError.INVALID_TIMESTAMP})
# Nobody's fault, or everybody's: all is read again.
_OF_ALL = frozenset(
    {
        KafkaError._FATAL,
        KafkaError._GAPLESS_GUARANTEE,
        KafkaError._PURGE_QUEUE,
        KafkaError._PURGE_INFLIGHT,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._INVALID_DIFFERENT_RECORD,
        KafkaError._QUEUE_FULL,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
        KafkaError.DUPLICATE_SEQUENCE_NUMBER,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.UNKNOWN_PRODUCER_ID,
    }
)

_copied = counter("relay_copied_records", "Records handed to Kafka for live-events and dead-letter topics")
_log = Log("outlet")

Place = tuple[str, int]  # topic with its prefix, partition


class KafkaOutlet:
    """A producer that is thrown away as soon as it failed to deliver one record.

    Delivery: at least once, in order per partition, and without a gap: nothing
    is delivered behind a record that was refused. After a failure `life` is
    another number: whoever feeds the outlet reads again what the topics end
    with and goes on from there. What a topic cannot take is cut, or a stub goes
    in its place; a partition that takes nothing is barred for some seconds,
    and the others go on.
    """

    def __init__(
        self, bootstrap: str, topics: Sequence[str], availability: Availability, clock: Callable[[], float]
    ) -> None:
        """`topics` are those that it fills; `clock` counts seconds and never goes back."""
        self._bootstrap = bootstrap
        self._topics = topics
        self._config: dict[str, Any] = {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,  # without it a retry of the client can swap records
            # Without it what follows a refused record gets in, and hides that the record is missing.
            "enable.gapless.guarantee": True,
            "acks": "all",
            "linger.ms": 50,
            "queue.buffering.max.messages": 2 * _WAITING_ROOM,
            "queue.buffering.max.kbytes": _QUEUE_KBYTES,
            "message.timeout.ms": 0,  # an outage is waited for; the bound is the waiting room
            "reconnect.backoff.max.ms": 1_000,
            "delivery.report.only.error": True,
            "error_cb": self._on_error,
            "log_level": 2,
        }
        self._availability = availability
        self._clock = clock
        self._producer: Any = None
        self._failure = ""
        self._sent = False  # something is under way, or was delivered since the last look
        self._said: dict[str, int] = {}  # topic -> what it takes, as the broker says
        self._limits: dict[str, int] = {}  # topic -> what it gets
        self._lowered: dict[str, tuple[int, int]] = {}  # topic -> what it said, and what it takes in truth
        self._stubs: set[tuple[object, ...]] = set()  # identities of records that were refused
        self._is_careful = self._next_is_careful = (
            False  # one record in a batch: a refusal then says which one is meant
        )
        self._barred: dict[Place, float] = {}  # until when
        self.life = 0

    def try_room(self) -> bool:
        """Whether more may be sent now; begins another life after a failure, or once a bar is over."""
        self._take_reports()
        if self._failure:
            self._availability.lost(self._failure)
            self._drop_producer()
        now = self._clock()
        if any(until <= now for until in self._barred.values()):
            self._barred = {place: until for place, until in self._barred.items() if until > now}
            self._drop_producer()
        if self._producer is None:
            if self._availability.is_resting:
                return False
            self._producer = self._new_producer()
            self.life += 1
        waiting = len(self._producer)
        if waiting == 0 and self._sent:
            self._availability.regained()
            self._sent = False
        return waiting < _WAITING_ROOM

    def is_barred(self, topic: str, partition: int) -> bool:
        """Whether the outlet drops what is for this partition; it will be asked for again in another life."""
        return (topic, partition) in self._barred

    def bar(self, topic: str, partition: int, detail: str) -> None:
        """Leave a partition alone for some seconds; the life after them begins with it."""
        self._barred[topic, partition] = self._clock() + _BARRED_SECONDS
        _log.warning(BARRED, topic=topic, partition=partition, detail=detail, seconds=_BARRED_SECONDS)

    def send(self, records: Sequence[KafkaRecord]) -> None:
        """Hand records to the client, which delivers them in the background."""
        if self._producer is None or self._failure:
            return  # they are read again in the next life
        produce = self._producer.produce
        self._sent = True
        for record in records:
            if (record.topic, record.partition) in self._barred:
                continue
            shaped = self._shaped(record)
            try:
                produce(
                    shaped.topic,
                    shaped.value,
                    shaped.key,
                    shaped.partition,
                    headers=shaped.headers,
                    on_delivery=partial(self._on_failure, shaped),
                )
            except BufferError as error:
                self._failure = str(error)
            except KafkaException as error:
                self._on_failure(shaped, error.args[0], None)
            if self._failure:
                return
        _copied.add(len(records))

    def close(self, seconds: float) -> None:
        """Deliver what waits, for at most so long."""
        if self._producer is not None:
            self._producer.flush(seconds)
            self._drop_producer()

    def _take_reports(self) -> None:
        if self._producer is None:
            return
        for _ in range(2):  # a fatal error is raised once, before what is reported
            try:
                self._producer.poll(0)
            except KafkaException as error:
                self._failure = self._failure or error.args[0].str()

    def _new_producer(self) -> Producer:
        self._ask_for_limits()
        self._is_careful = self._next_is_careful
        smallest, largest = min(self._limits.values()), max(self._limits.values())
        return Producer(
            {
                **self._config,
                "batch.num.messages": 1 if self._is_careful else _BATCH_RECORDS,
                # A batch is refused as a whole, and librdkafka does not split it.
                "batch.size": smallest - _FRAME_BYTES,
                "message.max.bytes": largest + _FRAME_BYTES,
            }
        )

    def _ask_for_limits(self) -> None:
        """Learn what each topic takes; one that does not say gets what is safe by default."""
        config: dict[str, Any] = {
            "bootstrap.servers": self._bootstrap,
            "log_level": 2,
            "error_cb": self._on_error,
        }
        admin = AdminClient(config)
        resources = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in self._topics]
        answers = admin.describe_configs(resources, request_timeout=_CONFIG_SECONDS)
        for topic, resource in zip(self._topics, resources, strict=True):
            try:
                said = int(answers[resource].result(_CONFIG_SECONDS)[_LIMIT].value or COPIED_BYTES)
            except (KafkaException, TimeoutError, KeyError, ValueError):
                said = COPIED_BYTES  # away, or we may not know: the producer finds out
            before, lowered = self._lowered.get(topic, (said, _MOST_BYTES))
            if before != said:
                del self._lowered[topic]
                lowered = _MOST_BYTES
            self._said[topic] = said
            self._limits[topic] = max(_LEAST_BYTES, min(said, lowered, _MOST_BYTES))

    def _shaped(self, record: KafkaRecord) -> KafkaRecord:
        if self._stubs and record.identity in self._stubs:
            return stub_of(record, "refused by the broker")
        return fitted(record, self._limits[record.topic])

    def _drop_producer(self) -> None:
        if self._producer is not None:
            self._producer.purge()
            self._take_reports()  # what was refused may be told after the failure that it caused
        self._producer = None
        self._failure = ""
        self._sent = False

    def _on_failure(self, record: KafkaRecord, error: KafkaError | None, _: Message | None) -> None:
        if error is None:
            return
        self._learn(record, error)
        self._failure = self._failure or f"{record.topic}[{record.partition}]: {error.str()}"

    def _learn(self, record: KafkaRecord, error: KafkaError) -> None:
        """Make the next life get further than this one did."""
        topic, code = record.topic, error.code()
        if code == KafkaError.MSG_SIZE_TOO_LARGE and self._limits[topic] > _LEAST_BYTES:
            # What it says was changed, or is not what counts.
            self._lowered[topic] = self._said[topic], self._limits[topic] // 2
        elif code in _REFUSED and not self._is_careful:
            self._next_is_careful = True
        elif code in _REFUSED and record.identity not in self._stubs:
            if len(self._stubs) >= _STUBS_REMEMBERED:
                self._stubs.clear()
            self._stubs.add(record.identity)
            self._next_is_careful = False
            _log.warning(STUBBED, topic=topic, partition=record.partition, detail=error.str())
        elif code not in _OF_ALL and not error.retriable():
            self.bar(topic, record.partition, error.str())

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._failure = self._failure or error.str()
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
