"""Matches: the list, one image, and the events of one."""

from typing import Annotated

from litestar import MediaType, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import Example
from litestar.params import Parameter

from api import examples, problems
from api.answers import EventPage, MatchList, MatchState, encode_page, summary
from api.catalogue import Catalogue
from schemas.partitioning import partition_of
from storage.log_reads import LogQueries

_MAX_ID = 128
_MAX_SEQ = 2**31 - 1
_USUAL_LIMIT = 200

MatchId = Annotated[
    str,
    Parameter(description="The match's id, as its sources name it.", examples=[Example(value="fra-2031")]),
]


def handlers(catalogue: Catalogue, log: LogQueries, shards: int, page_limit: int) -> list[HTTPRouteHandler]:
    """The routes under /matches; a page holds at most `page_limit` events."""

    @get(
        "/matches",
        tags=["matches"],
        summary="List matches",
        responses={
            200: examples.answer(MatchList, examples.MATCH_LIST, "The matches."),
            503: examples.OUT_OF_REACH,
        },
    )
    async def list_matches() -> MatchList:
        """Every match that has events, newest day first, as it is after its last event."""
        lines = [summary(listed, view) for listed, view in await catalogue.listed()]
        return MatchList([line for line in lines if line is not None])

    @get(
        "/matches/{match_id:str}",
        tags=["matches"],
        summary="Look at a match",
        responses={
            200: examples.answer(MatchState, examples.MATCH_STATE, "The match, up to exactly `seq`."),
            404: examples.NO_MATCH,
            503: examples.OUT_OF_REACH,
        },
    )
    async def get_match(match_id: MatchId) -> MatchState:
        """The image of a match: everything a fan joins with.

        It is the fold of the match's events 1 to `seq`. To follow the match
        from here, join it on the gateway with `since: {generation, seq, chain}`,
        or ask for its events after `seq`.
        """
        view = await catalogue.view(_checked(match_id))
        if view.image is None:
            raise problems.unknown("match", match_id, "match_id")
        chain = None if view.chain is None else view.chain.hex()
        return MatchState(match_id, view.generation, view.seq, chain, view.image)

    @get(
        "/matches/{match_id:str}/events",
        tags=["matches"],
        summary="Read the events of a match",
        responses={
            200: examples.answer(EventPage, examples.EVENT_PAGE, "A page of events, in order."),
            400: examples.NOT_FITTING,
            404: examples.NO_MATCH,
            503: examples.OUT_OF_REACH,
        },
    )
    async def list_events(
        match_id: MatchId,
        after_seq: Annotated[
            int,
            Parameter(
                ge=0,
                le=_MAX_SEQ,
                description="The last seq you have; 0 for all from the beginning.",
                examples=[Example(value=0), Example(value=1_204)],
            ),
        ] = 0,
        limit: Annotated[
            int,
            Parameter(
                ge=1,
                le=page_limit,
                description="Events in one answer, at most.",
                examples=[Example(value=_USUAL_LIMIT)],
            ),
        ] = min(_USUAL_LIMIT, page_limit),
    ) -> Response[bytes]:
        """Events after a seq, in order and gapless.

        Seqs are counted from 1 in each match. While `complete` is false ask
        again with the last seq you got. When `generation` is not the one you
        know, forget what you have. `chain` proves the log up to the last
        event: whoever has another chain at the same seq has another history.
        """
        checked = _checked(match_id)
        page = await log.events_after(checked, partition_of(checked, shards), after_seq, limit)
        if not page.head_seq:
            raise problems.unknown("match", match_id, "match_id")
        return Response(encode_page(checked, page), media_type=MediaType.JSON)

    return [list_matches, get_match, list_events]


def _checked(match_id: str) -> str:
    """Raise 404 for what can be no match's id, and what Postgres would choke on."""
    if len(match_id) > _MAX_ID or "\0" in match_id:
        raise problems.unknown("match", match_id[:_MAX_ID], "match_id")
    return match_id
