"""What the API answers with; the shapes that OpenAPI shows."""

from datetime import datetime

import msgspec
import orjson

from schemas.image import Fixture, MatchImage, Status
from schemas.live import LiveEvent, Score
from storage.log_reads import Page, StoredEvent
from storage.match_reads import Listed, MatchView


class MatchSummary(msgspec.Struct, frozen=True):
    """A line of the match list; `seq` and `generation` are where its log ends."""

    match: str
    fixture: Fixture
    status: Status
    period: int
    clock: int
    score: Score
    shoot_out: Score
    seq: int
    generation: int
    updated_at: datetime


class MatchList(msgspec.Struct, frozen=True):
    """Matches, the newest day first."""

    matches: list[MatchSummary]


class MatchState(msgspec.Struct, frozen=True):
    """The image of a match: the fold of its log up to exactly `seq`, where the log has this chain."""

    match: str
    generation: int
    seq: int
    chain: str | None  # None: the event at `seq` was dropped from the log
    image: MatchImage


class EventPage(msgspec.Struct, frozen=True):
    """Events of a match in order; ask again with the last seq until `complete`."""

    match: str
    generation: int
    chain: str | None  # at the last event here; without events at the seq that was asked about
    events: list[LiveEvent]
    head_seq: int
    complete: bool


class EventFound(msgspec.Struct, frozen=True):
    """One event, its place in the log, and the chain that proves the log up to there."""

    event_id: str
    match: str
    seq: int
    shard: int
    position: int
    generation: int
    chain: str
    event: LiveEvent


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong (RFC 9457); `field` names the part of the request."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None


def summary(listed: Listed, view: MatchView) -> MatchSummary | None:
    """A match as the list shows it; None while it has no image."""
    image = view.image
    if image is None:
        return None
    return MatchSummary(
        match=view.match,
        fixture=image.fixture,
        status=image.status,
        period=image.period,
        clock=image.clock,
        score=image.score,
        shoot_out=image.shoot_out,
        seq=image.seq,
        generation=view.generation,
        updated_at=listed.updated_at,
    )


def encode_page(match: str, page: Page) -> bytes:
    """An EventPage around events as they are stored."""
    return orjson.dumps(
        {
            "match": match,
            "generation": page.generation,
            "chain": None if page.last_chain is None else page.last_chain.hex(),
            "events": [orjson.Fragment(payload) for payload in page.payloads],
            "head_seq": page.head_seq,
            "complete": page.is_complete,
        }
    )


def encode_event(event_id: str, found: StoredEvent) -> bytes:
    """An EventFound around the event as it is stored."""
    return orjson.dumps(
        {
            "event_id": event_id,
            "match": found.match,
            "seq": found.seq,
            "shard": found.shard,
            "position": found.position,
            "generation": found.generation,
            "chain": found.chain.hex(),
            "event": orjson.Fragment(found.payload),
        }
    )
