"""Hypothesis strategies: any record that decode lets through, and records that contend for few ids."""

from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from schemas.raw import (
    MAX_REVISION,
    Action,
    BroadcastBody,
    BroadcastEvent,
    DerivedBody,
    DerivedRecord,
    RawEvent,
    SensorBody,
    SensorEvent,
    SocialBody,
    SocialEvent,
)
from tests.event_builders import KICK_OFF, MATCH

ACTIONS: tuple[Action, ...] = ("add", "confirm", "modify", "cancel")
KINDS = (
    "goal",
    "own_goal",
    "penalty_missed",
    "yellow_card",
    "red_card",
    "substitution",
    "var",
    "period_start",
    "period_end",
    "pass",
    "shot",
    "other",
    "fixture",
)

_letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


def _text(longest: int, shortest: int = 0) -> st.SearchStrategy[str]:
    return st.text(_letters, min_size=shortest, max_size=longest)


_ids = _text(128, shortest=1)
_names = _text(120)
_metres = st.none() | st.floats(-1_000, 1_000)
_zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_instants: st.SearchStrategy[datetime] = st.datetimes(
    datetime(1970, 1, 2),  # noqa: DTZ001 - the zone is drawn as well
    datetime(2199, 12, 30),  # noqa: DTZ001
    timezones=_zones,
)
_kinds = st.sampled_from(KINDS) | st.from_regex(r"[a-z][a-z0-9_]{0,31}", fullmatch=True)
_languages = st.sampled_from(["", "de", "pt-BR", "zho-Hant"])

_place: dict[str, st.SearchStrategy[Any]] = {
    "match": _ids,
    "source_event_id": _ids,
    "revision": st.integers(0, 3) | st.integers(0, MAX_REVISION),
    "action": st.sampled_from(ACTIONS),
    "type": _kinds,
    "occurred_at": _instants,
    "ingested_at": st.none() | _instants,
    "insert_before": st.none() | _ids,
}

_sensor_bodies = st.builds(
    SensorBody,
    sensor=_names,
    player=_names,
    x=_metres,
    y=_metres,
    speed=st.none() | st.floats(0, 100),
    heart_rate=st.none() | st.integers(0, 300),
    value=st.none() | st.floats(-1e12, 1e12),
)
_broadcast_bodies = st.builds(
    BroadcastBody,
    side=st.sampled_from([None, "home", "away"]),
    period=st.none() | st.integers(1, 5),
    clock=st.none() | st.integers(0, 14_400),
    player=_names,
    other_player=_names,
    outcome=_text(64),
    reason=_names,
    x=_metres,
    y=_metres,
    text=_text(300),
    home=_names,
    away=_names,
    competition=_names,
    kick_off=st.none() | _instants,
)
_social_bodies = st.builds(SocialBody, author=_names, text=_text(300), language=_languages)
_derived_bodies = st.builds(
    DerivedBody,
    of=_ids,
    of_revision=st.integers(0, MAX_REVISION),
    series=_text(64, shortest=1),
    text=_text(300),
    values=st.dictionaries(_text(64), st.floats(allow_nan=False, allow_infinity=False), max_size=5),
)

any_record: st.SearchStrategy[RawEvent] = st.one_of(
    st.builds(BroadcastEvent, body=_broadcast_bodies, **_place),
    st.builds(SensorEvent, body=_sensor_bodies, **_place),
    st.builds(SocialEvent, body=_social_bodies, **_place),
    st.builds(DerivedRecord, body=_derived_bodies, **_place),
)

_few_ids = st.sampled_from(["a", "b", "c", "d", "e"])


_contending_bodies = st.builds(
    BroadcastBody,
    side=st.sampled_from([None, "home", "away"]),
    period=st.sampled_from([None, 1, 2, 5]),
    clock=st.sampled_from([None, 0, 60, 2700]),
    player=st.sampled_from(["", "Ana", "Bo"]),
    outcome=st.sampled_from(["", "full_time"]),
    reason=st.sampled_from(["", "offside"]),
    home=st.sampled_from(["", "Reds"]),
    away=st.sampled_from(["", "Blues"]),
    kick_off=st.sampled_from([None, KICK_OFF]),
)


# Few ids, revisions and clock readings, so that records meet: ties, type
# changes, cancels without an add, circles of insert_before.
def contending(*kinds: str) -> st.SearchStrategy[BroadcastEvent]:
    """A record of one of these types, with one of five ids."""
    return st.builds(
        BroadcastEvent,
        match=st.just(MATCH),
        source_event_id=_few_ids,
        revision=st.integers(0, 4),
        action=st.sampled_from(ACTIONS),
        type=st.sampled_from(kinds),
        occurred_at=st.just(KICK_OFF),
        insert_before=st.none() | _few_ids,
        body=_contending_bodies,
    )


contending_record: st.SearchStrategy[BroadcastEvent] = contending(*KINDS)
