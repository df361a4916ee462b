"""What both feeds do with their lines: make records, wait for Kafka, count, keep to the limit."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from time import perf_counter

from ingest import tally as outcomes
from ingest.records import Send, from_feed, stub_of
from ingest.tally import Tally
from ingest.vendors import Mapper
from resilience.rate_limit import TokenBucket
from telemetry.log import Log

MAPPER_FAILED = "mapper.failed"


class Intake:
    """Takes the lines of one source.

    Delivery: at least once. When `take` returns, Kafka has every line, good
    or not; when it raises a DeliveryError, the same lines must come again.
    """

    def __init__(
        self,
        source: str,
        send: Send,
        bucket: TokenBucket,
        tally: Tally,
        shards: int,
        now: Callable[[], datetime],
    ) -> None:
        self._source = source
        self._send = send
        self._bucket = bucket
        self._tally = tally
        self._shards = shards
        self._now = now
        self._log = Log("ingest")

    def show(self, lines: Iterable[bytes], mapper: Mapper) -> None:
        """Let a mapper see lines for what it learns from them; they are taken another time."""
        from_feed(lines, mapper, self._source, self._now(), self._shards)

    async def take(self, lines: Iterable[bytes], mapper: Mapper) -> timedelta:
        """Write the lines to Kafka; return how long to wait before asking for more."""
        started = perf_counter()
        found = from_feed(lines, mapper, self._source, self._now(), self._shards)
        for error in found.surprises:
            self._log.error(MAPPER_FAILED, error=error, source=self._source)
        refused = await self._send(found.records)
        if refused:
            # A feed cannot be told, and would send it again for ever: its beginning becomes a dead letter.
            await self._send([stub_of(found.records[index]) for index in refused])
        forwarded = found.forwarded + len(refused)
        self._tally.count(self._source, outcomes.ACCEPTED, len(found.records) - forwarded)
        self._tally.count(self._source, outcomes.FORWARDED, forwarded)
        self._tally.acknowledged(self._source, perf_counter() - started)
        # A feed is in order: holding one record back would hold back all behind
        # it, goals included. So it is read more slowly instead.
        return self._bucket.take(len(found.records))
