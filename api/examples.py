"""Examples for OpenAPI, made by the code that makes the real thing."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Example

from api.answers import EventFound, EventPage, MatchList, MatchState, Problem, summary
from schemas.fold import empty_image, fold
from schemas.identity import body_hash, key_of, next_chain
from schemas.raw import BroadcastBody, BroadcastEvent
from storage.match_reads import Listed, MatchView

PROBLEM_MEDIA_TYPE = "application/problem+json"

_MATCH = "fra-2031"
_GENERATION = 1_718_000_000_000
_SHARD = 3
_AT = datetime(2024, 3, 16, 20, 18, 3, tzinfo=UTC)
_FIXTURE = BroadcastEvent(
    match=_MATCH,
    source_event_id="fixture",
    type="fixture",
    occurred_at=datetime(2024, 3, 16, 18, 0, tzinfo=UTC),
    body=BroadcastBody(home="Barcelona", away="Girona", competition="La Liga"),
)
_START = BroadcastEvent(
    match=_MATCH,
    source_event_id="start-1",
    type="period_start",
    occurred_at=datetime(2024, 3, 16, 20, 0, tzinfo=UTC),
    body=BroadcastBody(period=1, clock=0),
)
_GOAL = BroadcastEvent(
    match=_MATCH,
    source_event_id="goal-1",
    type="goal",
    occurred_at=_AT,
    body=BroadcastBody(side="home", period=1, clock=1083, player="Robert Lewandowski", x=109.2, y=38.5),
)

_image = empty_image(_MATCH)
for _event in (_FIXTURE, _START):
    _image, _ = fold(_image, _event, key_of(_event).hex(), _AT, 5, "und")
_image, _live = fold(_image, _GOAL, key_of(_GOAL).hex(), _AT, 9, "und")
_chain = next_chain(bytes(16), key_of(_GOAL), body_hash(_GOAL))
_view = MatchView(_MATCH, _GENERATION, _image, _chain)
_line = summary(Listed(_MATCH, _SHARD, _GENERATION, _image.seq, _chain, _AT), _view)

MATCH_LIST = MatchList([_line] if _line else [])
MATCH_STATE = MatchState(_MATCH, _GENERATION, _image.seq, _chain.hex(), _image)
EVENT_PAGE = EventPage(_MATCH, _GENERATION, _chain.hex(), [_live], _image.seq, True)
EVENT_FOUND = EventFound(
    event_id=_live.event_id,
    match=_MATCH,
    seq=_live.seq,
    shard=_SHARD,
    position=_live.seq,
    generation=_GENERATION,
    chain=_chain.hex(),
    event=_live,
)


def answer(kind: type[Any], value: Any, description: str) -> ResponseSpec:
    """What a good answer looks like."""
    return ResponseSpec(kind, generate_examples=False, description=description, examples=[_shown(value)])


def problem(description: str, **fields: Any) -> ResponseSpec:
    """What a problem looks like."""
    return ResponseSpec(
        Problem,
        generate_examples=False,
        description=description,
        media_type=PROBLEM_MEDIA_TYPE,
        examples=[_shown(Problem(**fields))],
    )


def _shown(value: Any) -> Example:
    return Example(value=msgspec.to_builtins(value))


OUT_OF_REACH = problem(
    "The log is out of reach for a moment; `Retry-After` says when to ask again.",
    type="urn:touchline:problem:log_unavailable",
    title="The log is out of reach",
    status=503,
    detail="no connection to Postgres",
)
NOT_FITTING = problem(
    "A parameter does not fit; `field` names it.",
    type="urn:touchline:problem:invalid_request",
    title="The request does not fit",
    status=400,
    detail="limit: Expected `int` <= 1000",
    field="limit",
)
NO_MATCH = problem(
    "There is no such match.",
    type="urn:touchline:problem:unknown_match",
    title="There is no such match",
    status=404,
    detail="no match 'fra-2032' in the log",
    field="match_id",
)
NO_EVENT = problem(
    "There is no such event.",
    type="urn:touchline:problem:unknown_event",
    title="There is no such event",
    status=404,
    detail="no event '8f0c2d1e5ab94c3f9d27b6e0a1c45f72' in the log",
    field="event_id",
)
