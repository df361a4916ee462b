"""The REST application: routes, errors, OpenAPI, CORS."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Contact, Schema, Tag

from api import events, health, matches, problems
from api.catalogue import Catalogue
from schemas.descriptions import FIELDS
from settings import Settings
from storage.log_reads import LogQueries
from storage.match_reads import MatchQueries
from storage.reading import LogReader
from storage.stream_reads import StreamReader

_DESCRIPTION = """
What the log says about matches and events.

**How to follow a match.** `GET /matches/{id}` gives its image: score, clock, incidents, and the `seq` of the
last event it contains. From there either join the match on the Socket.IO gateway with
`{match, since: {generation, seq, chain}}`, or poll `GET /matches/{id}/events?after_seq=<seq>`: you get every
later event once and in order.

**Corrections are events.** A reversed goal is a later event with the same `source_event_id`, a higher
`revision` and `action: cancel`. Apply events in the order of `seq`; of each `source_event_id` the highest
revision holds.

**Numbers.** `seq` counts the events of a match from 1, without gaps. It is valid within one `generation`:
when that changes, what you have is to be forgotten. `chain` stands for the whole log up to an event; hand it
back, and a log that lost what you have seen is noticed before its generation rises.

**Errors** are problem details (RFC 9457) with `field` where one part of the request is at fault. 503 comes
with `Retry-After`: the log is out of reach for a moment.
"""


def create(settings: Settings) -> Litestar:
    """The application; connections open with its first request and close with it."""
    reader = LogReader(settings.postgres, "touchline-api")
    streams = StreamReader(settings.redis)
    log = LogQueries(reader)
    catalogue = Catalogue(MatchQueries(reader), settings.shards)

    @asynccontextmanager
    async def connected(_app: Litestar) -> AsyncIterator[None]:
        async with reader:
            yield
        await streams.close()

    app = Litestar(
        route_handlers=[
            *matches.handlers(catalogue, log, settings.shards, settings.api_page_limit),
            *events.handlers(log),
            *health.handlers(reader, streams),
        ],
        plugins=[problems.plugin()],
        lifespan=[connected],
        cors_config=CORSConfig(allow_origins=_pages(settings), allow_methods=["GET"]),
        openapi_config=_openapi(),
        logging_config=None,
    )
    _describe_fields(app)
    return app


def _describe_fields(app: Litestar) -> None:
    """Put the published texts about the records' fields into the OpenAPI document."""
    for struct, schema in (app.openapi_schema.components.schemas or {}).items():
        for field, shape in (schema.properties or {}).items():
            if isinstance(shape, Schema) and shape.description is None:
                shape.description = FIELDS.get(f"{struct}.{field}") or FIELDS.get(field)


def _pages(settings: Settings) -> list[str]:
    """The origins that the fan page is served from."""
    port = settings.port("gateway")
    return [f"http://127.0.0.1:{port}", f"http://localhost:{port}"]


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Touchline",
        version="0.1.0",
        summary="Live sport, each event once and in order.",
        description=_DESCRIPTION,
        contact=Contact(name="Touchline"),
        tags=[
            Tag(name="matches", description="Matches, their images and their events."),
            Tag(name="events", description="Single events and their place in the log."),
            Tag(name="health", description="For those who run it."),
        ],
        path="/schema",
        render_plugins=[
            JsonRenderPlugin(path=["/", "/openapi.json"]),
            YamlRenderPlugin(path="/openapi.yaml"),
            SwaggerRenderPlugin(path="/ui"),
        ],
        use_handler_docstrings=True,
    )
