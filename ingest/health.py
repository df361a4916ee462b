"""Whether this process can do its work: routes for probes and for people."""

from collections.abc import Callable, Mapping
from datetime import timedelta

import msgspec
from confluent_kafka import KafkaException
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from ingest.link import Link, LinkReport
from ingest.producer import RecordProducer
from ingest.tally import Tally
from schemas.raw import TOPIC_OF_SOURCE

# A probe must be answered before its caller gives up (2 s in the local stack).
_ANSWER_WITHIN = timedelta(seconds=1.5)
# Kafka is not asked more often than that, however many probes there are.
_FRESH = timedelta(seconds=1)


class Readiness(msgspec.Struct, frozen=True):
    """`ready` depends on Kafka alone: an upstream that is away takes nothing from those who push."""

    ready: bool
    parts: dict[str, LinkReport]
    records: dict[str, dict[str, int]]  # source -> what became of them -> how many


class KafkaProbe:
    """Asks Kafka whether it is there and has our topics."""

    def __init__(
        self,
        producer: RecordProducer,
        link: Link,
        sources: list[str],
        shards: int,
        clock: Callable[[], float],
    ) -> None:
        self._producer = producer
        self._link = link
        self._wanted = {TOPIC_OF_SOURCE[source] for source in sources}
        self._shards = shards
        self._clock = clock
        self._asked_at: float | None = None

    async def refresh(self) -> None:
        """Bring the link up to date, if it was not a moment ago."""
        now = self._clock()
        if self._asked_at is not None and now - self._asked_at < _FRESH.total_seconds():
            return
        self._asked_at = now
        try:
            found = await self._producer.partitions(_ANSWER_WITHIN)
        except KafkaException as error:
            self._link.failed(error.args[0].str())
            return
        complaint = self._complaint(found)
        if complaint:
            self._link.failed(complaint)
        else:
            self._link.succeeded()

    def _complaint(self, found: Mapping[str, int]) -> str:
        for topic in sorted(self._wanted):
            partitions = found.get(topic)
            if partitions is None:
                return f"topic {topic} is missing"
            # Those beyond the shards get nothing from us: a lane says when others write there.
            if partitions < self._shards:
                return f"topic {topic} has {partitions} partitions, TOUCHLINE_SHARDS is {self._shards}"
        return ""


def health_routes(probe: KafkaProbe, links: list[Link], tally: Tally) -> list[HTTPRouteHandler]:
    """`/health/live` and `/health/ready`; the first link is Kafka's."""

    @get("/health/live", summary="The process runs", tags=["health"])
    async def live() -> dict[str, bool]:
        return {"live": True}

    @get("/health/ready", summary="Which neighbours answer", tags=["health"])
    async def ready() -> Response[Readiness]:
        await probe.refresh()
        readiness = Readiness(
            ready=links[0].is_up,
            parts={link.name: link.report() for link in links},
            records=tally.report(),
        )
        return Response(readiness, status_code=200 if readiness.ready else 503)

    return [live, ready]
