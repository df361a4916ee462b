"""One event, with its place in the log and its proof."""

from typing import Annotated

from litestar import MediaType, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import Example
from litestar.params import Parameter

from api import examples, problems
from api.answers import EventFound, encode_event
from schemas.identity import KEY_BYTES
from storage.log_reads import LogQueries

EventId = Annotated[
    str,
    Parameter(
        description="The event's id: 32 hexadecimal digits.",
        examples=[Example(value="8f0c2d1e5ab94c3f9d27b6e0a1c45f72")],
    ),
]


def handlers(log: LogQueries) -> list[HTTPRouteHandler]:
    """The routes under /events."""

    @get(
        "/events/{event_id:str}",
        tags=["events"],
        summary="Look at an event",
        responses={
            200: examples.answer(EventFound, examples.EVENT_FOUND, "The event and its place."),
            404: examples.NO_EVENT,
            503: examples.OUT_OF_REACH,
        },
    )
    async def get_event(event_id: EventId) -> Response[bytes]:
        """An event as it is stored: what the source said, its place, and the score right after it.

        `position` is its place in its shard's log, `chain` the hash of that
        log up to here: two logs with the same chain at the same position hold
        the same events up to it.
        """
        key = _key(event_id)
        found = await log.event_by_key(key) if key is not None else None
        if found is None:
            raise problems.unknown("event", event_id, "event_id")
        return Response(encode_event(event_id.lower(), found), media_type=MediaType.JSON)

    return [get_event]


def _key(event_id: str) -> bytes | None:
    try:
        key = bytes.fromhex(event_id)
    except ValueError:
        return None
    return key if len(key) == KEY_BYTES and len(event_id) == 2 * KEY_BYTES else None
