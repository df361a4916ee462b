"""The one producer of this process: records to Kafka, each acknowledged by all in-sync replicas.

librdkafka sends in the background and reports on a queue; one thread waits
there and wakes the event loop when the last record of a batch is settled.
confluent-kafka's own asyncio producer holds each record back until its
buffer is full or a timer runs out, and makes a future of each: too slow here.
"""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ingest.link import Link
from ingest.records import Outgoing
from telemetry.log import Log

PRODUCER_REPLACED = "producer.replaced"
RECORD_REFUSED = "producer.record_refused"

# Records and bytes that may wait for Kafka. 100,000 are ten seconds at the
# highest rate we promise; what does not fit is refused, not queued.
MOST_IN_FLIGHT = 100_000
_MOST_IN_FLIGHT_KILOBYTES = 128 * 1024
# Waits for companions this long: fills batches at 1,000/s and adds no more
# than that to the latency.
_LINGER = timedelta(milliseconds=2)
# Longer than three brokers need to replace a killed leader (5.1 s measured),
# shorter than the patience of most HTTP clients.
_GIVE_UP_AFTER = timedelta(seconds=8)
_POLL_SECONDS = 0.2
# A record's own fault, or that of one in its batch: the rest of the batch is good.
_REFUSED = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError._INVALID_DIFFERENT_RECORD,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_TIMESTAMP,
    }
)


class DeliveryError(RuntimeError):
    """Kafka has not acknowledged every record; some of them may be there. Sending all again is safe."""

    def __init__(self, reason: str, retry_after: timedelta) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class ProducerFullError(DeliveryError):
    """Too many records wait for Kafka already."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} records wait for Kafka", timedelta(seconds=1))
        self.waiting = waiting


class NotAcknowledgedError(DeliveryError):
    """Kafka refused a record or did not answer in time."""

    def __init__(self, error: KafkaError) -> None:
        super().__init__(f"Kafka has not acknowledged: {error.str()}", timedelta(seconds=2))


class _Batch:
    """Records that are settled together."""

    def __init__(self, size: int, loop: asyncio.AbstractEventLoop) -> None:
        self.settled: asyncio.Future[KafkaError | None] = loop.create_future()
        self._loop = loop
        self._waiting = size
        self._error: KafkaError | None = None

    def report(self, error: KafkaError | None, message: Message) -> None:
        """Take a delivery report, on the producer's thread."""
        self._waiting -= 1
        # An outage comes before a refusal: what is refused is only known once all else got through.
        if error is not None and (self._error is None or self._error.code() in _REFUSED):
            self._error = error
        if not self._waiting:
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        if not self.settled.done():  # its caller may have gone away
            self.settled.set_result(self._error)


class _Client:
    """librdkafka and the thread that waits for its reports."""

    def __init__(self, configuration: Mapping[str, object], link: Link) -> None:
        self._link = link
        self.has_failed = False  # an idempotent producer that lost its place never sends again
        self._closing = threading.Event()
        self.producer = Producer({**configuration, "error_cb": self._report_trouble})
        self._thread = threading.Thread(target=self._wait_for_reports, name="kafka-reports", daemon=True)
        self._thread.start()

    def finish(self, within: timedelta) -> None:
        """Wait for what is in flight. Blocks."""
        # First the thread: reports must not be taken by two at a time.
        self._closing.set()
        self._thread.join()
        self.producer.flush(within.total_seconds())

    def give_up(self) -> None:
        """Fail what is still in flight. Blocks."""
        self._closing.set()
        self._thread.join()
        self.producer.purge()
        self.producer.flush(1.0)  # tells those who wait

    def _wait_for_reports(self) -> None:
        while not self._closing.is_set():
            try:
                self.producer.poll(_POLL_SECONDS)
            except KafkaException:  # raised here once for a fatal error, and nothing is reported any more
                self.has_failed = True
                self.producer.purge(blocking=False)  # else those who wait would wait for ever

    def _report_trouble(self, error: KafkaError) -> None:
        # Other errors of a single broker heal by themselves, or show at a delivery.
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._link.failed(error.str())


class RecordProducer:
    """Writes records to the raw topics.

    Delivery: at least once. Idempotent within this process, in order within a
    partition; `send` returns only after all in-sync replicas have the records,
    so that whoever confirms or moves a cursor afterwards loses nothing. A
    caller that repeats a failed batch repeats records: the log drops them.
    """

    def __init__(
        self, servers: str, prefix: str, link: Link, overrides: Mapping[str, object] | None = None
    ) -> None:
        """`prefix` goes in front of every topic; `overrides` are librdkafka's own settings, for tests."""
        self._prefix = prefix
        self._link = link
        self._log = Log("ingest")
        self._configuration = {**_configuration(servers), **(overrides or {})}
        self._client = _Client(self._configuration, link)
        self._one_by_one: _Client | None = None  # begun by the first refusal
        self._in_flight = 0

    async def send(self, records: list[Outgoing]) -> Sequence[int]:
        """Write records and wait for their acknowledgement; raise DeliveryError.

        Return the indexes of those that their topic takes from nobody, as it takes no record so large:
        sending them again is no use. All others are acknowledged.
        """
        if not records:
            return ()
        refusal = await self._send(self._client, records)
        if refusal is None:
            return ()
        if refusal.code() not in _REFUSED:
            raise self._not_acknowledged(refusal, self._client)
        return await self._send_one_by_one(records)

    async def _send_one_by_one(self, records: list[Outgoing]) -> Sequence[int]:
        """Find out which of them is refused: a batch is as a whole, and may hold records of others."""
        if self._one_by_one is None or self._one_by_one.has_failed:
            self._one_by_one = _Client({**self._configuration, "batch.num.messages": 1}, self._link)
        refused: list[int] = []
        for index, record in enumerate(records):
            refusal = await self._send(self._one_by_one, [record])
            if refusal is None:
                continue
            if refusal.code() not in _REFUSED:
                raise self._not_acknowledged(refusal, self._one_by_one)
            self._log.warning(
                RECORD_REFUSED, topic=record.topic, bytes=len(record.value), reason=refusal.str()
            )
            refused.append(index)
        return refused

    async def _send(self, client: _Client, records: list[Outgoing]) -> KafkaError | None:
        """Write records; return what Kafka said against one of them; raise DeliveryError."""
        # Counted here: the client's own length counts what it has to report besides.
        if self._in_flight and self._in_flight + len(records) > MOST_IN_FLIGHT:
            raise ProducerFullError(self._in_flight)
        batch = _Batch(len(records), asyncio.get_running_loop())
        self._in_flight += len(records)
        try:
            self._enqueue(client, records, batch)
            refusal = await batch.settled
        except BufferError as error:
            raise ProducerFullError(self._in_flight) from error
        except KafkaException as error:
            raise self._not_acknowledged(error.args[0], client) from error
        finally:
            self._in_flight -= len(records)
        if refusal is None or refusal.code() in _REFUSED:
            self._link.succeeded()
        return refusal

    def _enqueue(self, client: _Client, records: list[Outgoing], batch: _Batch) -> None:
        produce, report, prefix = client.producer.produce, batch.report, self._prefix
        for topic, partition, key, value in records:
            produce(prefix + topic, value=value, key=key, partition=partition, on_delivery=report)

    def _not_acknowledged(self, error: KafkaError, client: _Client) -> NotAcknowledgedError:
        self._link.failed(error.str())
        if (client.has_failed or error.fatal()) and client is self._client:
            self._log.error(PRODUCER_REPLACED, reason=error.str())
            self._client = _Client(self._configuration, self._link)
            threading.Thread(target=client.give_up, daemon=True).start()
        return NotAcknowledgedError(error)

    async def partitions(self, within: timedelta) -> dict[str, int]:
        """Ask Kafka for its topics, without prefix, and their partition counts; raise KafkaException."""
        producer = self._client.producer
        listed = await asyncio.to_thread(producer.list_topics, timeout=within.total_seconds())
        topics: dict[str, int] = {
            name.removeprefix(self._prefix): len(topic.partitions)
            for name, topic in listed.topics.items()
            if name.startswith(self._prefix)
        }
        return topics

    async def close(self, within: timedelta) -> int:
        """Wait for what is in flight, then stop; return how many records stayed unacknowledged.

        A batch of which Kafka has only a part counts as a whole, as `send` fails as a whole.
        """
        await asyncio.to_thread(self._client.finish, within)
        if self._one_by_one is not None:
            await asyncio.to_thread(self._one_by_one.give_up)
        left = self._in_flight  # those that were acknowledged were told before we are
        if left:
            await asyncio.to_thread(self._client.give_up)
        return left


def _configuration(servers: str) -> dict[str, object]:
    return {
        "bootstrap.servers": servers,
        "client.id": "touchline-ingest",
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": _LINGER.total_seconds() * 1000,
        "delivery.timeout.ms": int(_GIVE_UP_AFTER.total_seconds() * 1000),
        "queue.buffering.max.messages": MOST_IN_FLIGHT,
        "queue.buffering.max.kbytes": _MOST_IN_FLIGHT_KILOBYTES,
        # Back within half a second of the broker's return; librdkafka's own bound is 10 s.
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 500,
        "retry.backoff.ms": 50,
        "retry.backoff.max.ms": 500,
        "topic.metadata.refresh.sparse": False,
        # Lost brokers are logged by the link, once.
        "log_level": 2,
    }
