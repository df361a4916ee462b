"""Records back onto the raw topics."""

from collections.abc import Sequence
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from recovery.deadletters.plan import Step
from schemas.control import CONTROL_TOPIC, ControlRecord, encode_control
from schemas.letters import Origin
from schemas.partitioning import partition_of

# Names the letter on the record that a redrive writes.
LETTER_HEADER = "letter"
# Three brokers need 5.1 s to replace a killed leader.
_SETTLED_WITHIN_SECONDS = 10


class NotSentError(RuntimeError):
    """Kafka has not acknowledged a record: it may be there or not, and sending it again is safe."""

    remedy = (
        "Those that were sent stay noted as sent; run it again. Start the stack with ./dev up and look with"
        " ./dev status."
    )

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"Kafka: a record for {topic} was not acknowledged: {reason}")
        self.topic = topic


class Sent(NamedTuple):
    """A step with the origin of the record that it became."""

    step: Step
    origin: Origin


class RawProducer:
    """Writes records to the raw topics.

    Delivery: at least once; in order within a partition. Whoever repeats it
    repeats records, which the log drops by their identity.
    """

    def __init__(self, servers: str, prefix: str) -> None:
        self._prefix = prefix
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "client.id": "touchline-recovery",
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 2,
                "delivery.timeout.ms": _SETTLED_WITHIN_SECONDS * 1000,
                "error_cb": _ignore,  # shows as a record that is not acknowledged
                "log_level": 0,
            }
        )

    def send(self, steps: Sequence[Step]) -> list[Sent]:
        """Write records, in order, and wait until all in-sync replicas have them; raise NotSentError."""
        reports = [
            self._produce(step.topic, step.partition, step.key, step.value, {LETTER_HEADER: str(step.letter)})
            for step in steps
        ]
        self._producer.flush()
        return [Sent(step, report.origin(step.topic)) for step, report in zip(steps, reports, strict=True)]

    def tell(self, record: ControlRecord, shards: int) -> Origin:
        """Write a control record for the lane of its match; raise NotSentError."""
        partition = partition_of(record.match, shards)
        report = self._produce(CONTROL_TOPIC, partition, record.match.encode(), encode_control(record), {})
        self._producer.flush()
        return report.origin(CONTROL_TOPIC)

    def _produce(
        self, topic: str, partition: int, key: bytes | None, value: bytes, headers: dict[str, str]
    ) -> "_Report":
        report = _Report()
        try:
            self._producer.produce(
                self._prefix + topic,
                value=value,
                key=key,
                partition=partition,
                headers=list(headers.items()),
                on_delivery=report.take,
            )
        except KafkaException as error:
            raise NotSentError(topic, error.args[0].str()) from error
        return report


class _Report:
    """What Kafka says about one record."""

    def __init__(self) -> None:
        self._refusal = "no report"
        self._place: tuple[int, int] | None = None

    def take(self, error: KafkaError | None, message: Message) -> None:
        partition, offset = message.partition(), message.offset()
        if error is not None:
            self._refusal = error.str()
        elif partition is not None and offset is not None:
            self._place = partition, offset

    def origin(self, topic: str) -> Origin:
        if self._place is None:
            raise NotSentError(topic, self._refusal)
        return Origin(topic, *self._place)


def _ignore(_: KafkaError) -> None:
    """Brokers that do not answer show as records that are not acknowledged."""
