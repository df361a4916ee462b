"""What a source says: the record on the raw topics.

One JSON object per Kafka record, tagged by `source`. Times are RFC 3339
with an offset. The same shape goes over HTTP push, so a source that can
produce to Kafka needs no adapter.
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Action = Literal["add", "confirm", "modify", "cancel"]
Side = Literal["home", "away"]

# 2**53 - 1: the largest integer that every JSON client reads exactly.
MAX_REVISION = 9_007_199_254_740_991

Id = Annotated[str, Meta(min_length=1, max_length=128)]
# Published with the schema and checked in `validation`: a pattern inside the decoder
# takes a third of a record's decoding.
KIND_PATTERN = r"^[a-z][a-z0-9_]{0,31}$"
Kind = Annotated[str, Meta(min_length=1, max_length=32, extra_json_schema={"pattern": KIND_PATTERN})]
Name = Annotated[str, Meta(max_length=120)]
Text = Annotated[str, Meta(max_length=4_000)]
Revision = Annotated[int, Meta(ge=0, le=MAX_REVISION)]
LANGUAGE_PATTERN = r"^([a-z]{2,3}(-[A-Za-z0-9]{2,8})*)?$"
Language = Annotated[str, Meta(max_length=16, extra_json_schema={"pattern": LANGUAGE_PATTERN})]
Instant = Annotated[datetime, Meta(tz=True)]
# Metres on the pitch; generous around the lines, closed to what no pitch holds.
Metres = Annotated[float, Meta(ge=-1_000, le=1_000)]
# 1 and 2: halves, 3 and 4: extra time, 5: penalty shoot-out.
Period = Annotated[int, Meta(ge=1, le=5)]
# Seconds on the match clock as broadcasters show it: the second half starts at 2700.
Clock = Annotated[int, Meta(ge=0, le=14_400)]


class SensorBody(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """A reading from the stadium."""

    sensor: Name = ""
    player: Name = ""
    x: Metres | None = None
    y: Metres | None = None
    speed: Annotated[float, Meta(ge=0, le=100)] | None = None  # m/s
    heart_rate: Annotated[int, Meta(ge=0, le=300)] | None = None  # beats a minute
    value: Annotated[float, Meta(ge=-1e12, le=1e12)] | None = None


class BroadcastBody(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """An incident of play, as the broadcast feed describes it."""

    side: Side | None = None
    period: Period | None = None
    clock: Clock | None = None
    player: Name = ""
    other_player: Name = ""  # who comes on, who assisted, who received the pass
    outcome: Annotated[str, Meta(max_length=64)] = ""
    reason: Name = ""  # why it was corrected or reviewed
    x: Metres | None = None
    y: Metres | None = None
    text: Text = ""
    # Only on a `fixture`: who plays.
    home: Name = ""
    away: Name = ""
    competition: Name = ""
    kick_off: Instant | None = None


class SocialBody(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """A post about the match."""

    author: Name = ""
    text: Text = ""
    language: Language = ""


class DerivedBody(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """What we made from a fact: a translation or a statistic."""

    of: Id  # event_id of the fact
    of_revision: Revision
    series: Annotated[str, Meta(min_length=1, max_length=64)]  # "translation/de", "possession"
    text: Text = ""
    values: dict[Annotated[str, Meta(max_length=64)], float] = {}


class _Raw(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag_field="source"):
    """Identity, place and time of a record; identity is (match, source, source_event_id, revision)."""

    match: Id
    source_event_id: Id
    revision: Revision = 0
    action: Action = "add"
    type: Kind
    occurred_at: Instant
    insert_before: Id | None = None  # source_event_id that it belongs in front of
    # Ours: when an adapter accepted it. Last, so that what the source said is all in front of it.
    ingested_at: Instant | None = None


class SensorEvent(_Raw, frozen=True, gc=False, tag="sensors"):
    """A record of `sensor-events`."""

    body: SensorBody = SensorBody()


class BroadcastEvent(_Raw, frozen=True, gc=False, tag="broadcast"):
    """A record of `broadcast-events`."""

    body: BroadcastBody = BroadcastBody()


class SocialEvent(_Raw, frozen=True, gc=False, tag="social"):
    """A record of `social-events`."""

    body: SocialBody = SocialBody()


class DerivedRecord(_Raw, frozen=True, gc=False, tag="derived"):
    """A record of `derived-events`."""

    body: DerivedBody


RawEvent = SensorEvent | BroadcastEvent | SocialEvent | DerivedRecord

# Topic name -> the `source` tag of its records.
RAW_TOPICS = {
    "sensor-events": "sensors",
    "broadcast-events": "broadcast",
    "social-events": "social",
    "derived-events": "derived",
}
TOPIC_OF_SOURCE = {source: topic for topic, source in RAW_TOPICS.items()}


KIND_OF_TOPIC: dict[str, type[RawEvent]] = {
    "sensor-events": SensorEvent,
    "broadcast-events": BroadcastEvent,
    "social-events": SocialEvent,
    "derived-events": DerivedRecord,
}
_SOURCES: dict[type, str] = {kind: RAW_TOPICS[topic] for topic, kind in KIND_OF_TOPIC.items()}


def source_of(event: RawEvent) -> str:
    """The `source` tag of a record."""
    return _SOURCES[type(event)]
