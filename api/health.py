"""Whether the API lives, and whether it can answer."""

import asyncio

from litestar import MediaType, Response, get
from litestar.handlers import HTTPRouteHandler

from api import examples
from storage.probes import Part, Readiness, probe, readiness
from storage.reading import LogReader
from storage.stream_reads import StreamReader

_REDIS = Part(ok=True, detail="answers", latency_ms=0.31, required=False)
_WELL = readiness({"postgres": Part(ok=True, detail="answers", latency_ms=0.84), "redis": _REDIS})
_UNWELL = readiness(
    {"postgres": Part(ok=False, detail="no connection to Postgres", latency_ms=2_001.2), "redis": _REDIS}
)


def handlers(reader: LogReader, streams: StreamReader) -> list[HTTPRouteHandler]:
    """The routes under /health."""

    @get("/health/live", tags=["health"], summary="Is the process alive?")
    async def live() -> dict[str, bool]:
        """Answers whenever the process does; restart it when this fails."""
        return {"live": True}

    @get(
        "/health/ready",
        tags=["health"],
        summary="Can it answer?",
        responses={
            200: examples.answer(Readiness, _WELL, "It can."),
            503: examples.answer(Readiness, _UNWELL, "It cannot; the parts say why."),
        },
    )
    async def ready() -> Response[Readiness]:
        """Whether every required part answers; route traffic here only then.

        Redis is looked at but not required: a dead Redis delays live
        delivery, and the log answers all that is asked here.
        """
        postgres, redis = await asyncio.gather(probe(reader.ping), probe(streams.ping, is_required=False))
        found = readiness({"postgres": postgres, "redis": redis})
        return Response(found, status_code=200 if found.ready else 503, media_type=MediaType.JSON)

    return [live, ready]
