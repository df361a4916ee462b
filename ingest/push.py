"""HTTP push: stadium sensors send their readings here."""

import asyncio
import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from time import perf_counter
from typing import Any, NoReturn

import msgspec
from litestar import Litestar, Request, post
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.plugins.problem_details import (
    ProblemDetailsConfig,
    ProblemDetailsException,
    ProblemDetailsPlugin,
)

from ingest import tally as outcomes
from ingest.bodies import BodyError, Line, inflated, media_type, split
from ingest.priority import always_passes
from ingest.producer import DeliveryError
from ingest.records import Outgoing, Send, stamped
from ingest.refusals import Refusal, refusal_of
from ingest.tally import Tally
from resilience.rate_limit import TokenBucket
from schemas.letters import OVERSIZED, WRONG_TOPIC
from schemas.raw import source_of
from schemas.validation import Rejection, read

SOURCE = "sensors"
# About 2 ms of work: others get their turn in between.
_TURN = 500


class Receipt(msgspec.Struct, frozen=True):
    """What became of a push."""

    accepted: int  # acknowledged by Kafka
    rejected: list[Refusal]  # not taken, and not worth sending again as they are


class Sorted(msgspec.Struct):
    """The records of one push: the good ones in order, those among them that no limit holds back, the bad."""

    good: list[Outgoing]
    unlimited: list[Outgoing]
    refused: list[Refusal]
    lines: dict[int, int]  # id of a good one -> its line


class SensorPush:
    """Takes readings, and says so only when Kafka has them.

    Delivery: at least once for the caller. After 202 every accepted record
    survives any crash; after 429, 503 or no answer the same body can be sent
    again, and what was stored the first time is dropped as a repeat.
    """

    def __init__(
        self,
        send: Send,
        bucket: TokenBucket,
        tally: Tally,
        shards: int,
        now: Callable[[], datetime],
        body_limit: int,
    ) -> None:
        self._send = send
        self._bucket = bucket
        self._tally = tally
        self._shards = shards
        self._now = now
        self._body_limit = body_limit

    def route(self) -> HTTPRouteHandler:
        """`POST /sensors`."""

        @post(
            "/sensors",
            status_code=202,
            request_max_body_size=self._body_limit,
            summary="Take sensor readings",
            description=(
                "One JSON object, an array of them, or NDJSON (application/x-ndjson), gzip allowed. 202 means"
                " that Kafka has stored the accepted ones; 429 and 503 say when to send the same body again."
            ),
            tags=["sensors"],
        )
        async def take_readings(request: Request[Any, Any, Any]) -> Receipt:
            try:
                body = await request.body()
            except RequestEntityTooLarge as error:
                too_large = f"the body is larger than {self._body_limit} bytes; send it in smaller parts"
                raise ProblemDetailsException(status_code=413, detail=too_large, title=_title(413)) from error
            headers = request.headers
            return await self.take(headers.get("content-type", ""), headers.get("content-encoding", ""), body)

        return take_readings

    async def take(self, content_type: str, encoding: str, body: bytes) -> Receipt:
        """Take a body; raise ProblemDetailsException for every answer but 202."""
        try:
            lines = split(inflated(body, encoding, self._body_limit), media_type(content_type))
        except BodyError as error:
            raise ProblemDetailsException(
                status_code=error.status, title=_title(error.status), detail=error.detail
            ) from error
        found = await self._sort(lines, self._now())
        self._tally.count(SOURCE, outcomes.REFUSED, len(found.refused))
        limited = len(found.good) - len(found.unlimited)
        wait = self._bucket.try_take(limited)
        taken = list(found.unlimited if wait else found.good)
        for index in sorted(await self._deliver(taken), reverse=True):
            line = found.lines[id(taken.pop(index))]
            found.refused.append(Refusal(line, "", "larger than Kafka's topic takes", OVERSIZED))
        if wait:
            self._tally.count(SOURCE, outcomes.THROTTLED, limited)
            _refuse(429, "too many records; send the same body again later", len(taken), found.refused, wait)
        if not taken:
            _refuse(400, "no record of the body is good", 0, found.refused)
        return Receipt(len(taken), found.refused)

    async def _sort(self, lines: list[Line], accepted_at: datetime) -> Sorted:
        found = Sorted([], [], [], {})
        for start in range(0, len(lines), _TURN):
            if start:
                await asyncio.sleep(0)
            for line in lines[start : start + _TURN]:
                self._put(line, accepted_at, found)
        return found

    def _put(self, line: Line, accepted_at: datetime, found: Sorted) -> None:
        reading = read(line.value)
        if isinstance(reading, Rejection):
            found.refused.append(refusal_of(reading, line.number))
        elif source_of(reading.event) != SOURCE:
            reason = f"{source_of(reading.event)!r} is not taken here, only {SOURCE!r}"
            found.refused.append(Refusal(line.number, "source", reason, WRONG_TOPIC))
        else:
            record = stamped(reading, accepted_at, self._shards)
            found.good.append(record)
            found.lines[id(record)] = line.number
            if always_passes(reading.event):
                found.unlimited.append(record)

    async def _deliver(self, records: list[Outgoing]) -> Sequence[int]:
        """Return the indexes of those that Kafka takes from nobody."""
        started = perf_counter()
        try:
            refused = await self._send(records)
        except DeliveryError as error:
            _refuse(503, f"{error.reason}; send the same body again", 0, [], error.retry_after)
        self._tally.count(SOURCE, outcomes.ACCEPTED, len(records) - len(refused))
        self._tally.count(SOURCE, outcomes.REFUSED, len(refused))
        self._tally.acknowledged(SOURCE, perf_counter() - started)
        return refused


def _refuse(
    status: int, detail: str, accepted: int, refused: list[Refusal], wait: timedelta = timedelta(0)
) -> NoReturn:
    raise ProblemDetailsException(
        status_code=status,
        title=_title(status),
        detail=detail,
        headers={"Retry-After": str(math.ceil(wait.total_seconds()))} if wait else None,
        extra={"accepted": accepted, "rejected": msgspec.to_builtins(refused)},
    )


def _title(status: int) -> str:
    return HTTPStatus(status).phrase


def application(routes: list[HTTPRouteHandler]) -> Litestar:
    """The HTTP side of ingest; errors are application/problem+json."""
    return Litestar(
        routes,
        plugins=[ProblemDetailsPlugin(ProblemDetailsConfig(enable_for_all_http_exceptions=True))],
        openapi_config=OpenAPIConfig(title="Touchline ingest", version="1", path="/schema"),
        logging_config=None,
    )
