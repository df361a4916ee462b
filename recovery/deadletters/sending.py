"""Records back onto the raw topics."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from recovery.deadletters.plan import Step
from schemas.letters import Origin

# Names the letter on the record that a redrive writes.
LETTER_HEADER = "letter"
# Three brokers need 5.1 s to replace a killed leader.
_SETTLED_WITHIN_SECONDS = 10


class NotSentError(RuntimeError):
    """Kafka has not acknowledged a record: it may be there or not, and sending it again is safe."""

    def __init__(self, letter: int, reason: str) -> None:
        super().__init__(f"letter {letter} was not acknowledged: {reason}")
        self.letter = letter


class Sent(NamedTuple):
    """A step with the origin of the record that it became."""

    step: Step
    origin: Origin


Report = Callable[[Step, KafkaError | None, Message], None]


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
        reports: dict[int, Origin] = {}
        refusals: list[NotSentError] = []

        def report(step: Step, error: KafkaError | None, message: Message) -> None:
            partition, offset = message.partition(), message.offset()
            if error is not None or partition is None or offset is None:
                refusals.append(NotSentError(step.letter, error.str() if error else "no offset"))
            else:
                reports[step.letter] = Origin(step.topic, partition, offset)

        for step in steps:
            self._produce(step, report)
        self._producer.flush()
        if refusals:
            raise refusals[0]
        return [Sent(step, reports[step.letter]) for step in steps]

    def _produce(self, step: Step, report: Report) -> None:
        try:
            self._producer.produce(
                self._prefix + step.topic,
                value=step.value,
                key=step.key,
                partition=step.partition,
                headers=[(LETTER_HEADER, str(step.letter))],
                on_delivery=partial(report, step),
            )
        except KafkaException as error:
            raise NotSentError(step.letter, error.args[0].str()) from error


def _ignore(_: KafkaError) -> None:
    """Brokers that do not answer show as records that are not acknowledged."""
