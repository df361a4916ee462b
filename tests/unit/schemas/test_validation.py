"""What is a record, and what the sender is told when it is none."""

import json
from typing import Any

import pytest

from schemas import letters
from schemas.raw import MAX_REVISION, BroadcastEvent
from schemas.record_form import MAX_RECORD_BYTES
from schemas.validation import Rejection, parse
from tests.event_builders import a_goal, a_post, encoded


def goal_with(**fields: Any) -> bytes:
    """A good goal as JSON, with fields replaced by whatever the test says."""
    return json.dumps({**json.loads(encoded(a_goal())), **fields}).encode()


def goal_with_body(**body: Any) -> bytes:
    return goal_with(body={"side": "home", **body})


def refusal_of(value: bytes | None) -> Rejection:
    told = parse(value)
    assert isinstance(told, Rejection)
    return told


def test_a_good_record_is_read() -> None:
    assert parse(encoded(a_goal())) == a_goal()


def test_a_record_needs_only_its_identity_type_and_time() -> None:
    value = b"""{"source": "broadcast", "match": "m", "source_event_id": "e", "type": "goal",
                 "occurred_at": "2024-03-16T21:00:00+01:00"}"""
    event = parse(value)
    assert isinstance(event, BroadcastEvent)
    assert (event.revision, event.action, event.insert_before) == (0, "add", None)


def test_unknown_fields_are_ignored() -> None:
    """A vendor may say more than we read, at any time."""
    assert parse(goal_with(vendor={"deep": [1, {"x": None}]})) == a_goal()


@pytest.mark.parametrize("value", [None, b""])
def test_no_value_is_empty(value: bytes | None) -> None:
    assert refusal_of(value).reason == letters.EMPTY


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", letters.MALFORMED_JSON),
        (b"goal!", letters.MALFORMED_JSON),
        (b"\xef\xbb\xbf{}", letters.MALFORMED_JSON),
        (b'{"a": NaN}', letters.MALFORMED_JSON),
        (encoded(a_goal()) * 2, letters.MALFORMED_JSON),
        (b"\xff\xfe\x00", letters.INVALID_UTF8),
        (goal_with_body(player="x").replace(b'"x"', b'"\xc3"'), letters.INVALID_UTF8),
        (goal_with_body(player="x").replace(b'"x"', b'"\xed\xa0\x80"'), letters.INVALID_UTF8),
        (b"[" * 20_000 + b"]" * 20_000, letters.INVALID_RECORD),
        (goal_with(deep=0).replace(b"0}", b"[" * 20_000 + b"]" * 20_000 + b"}"), letters.TOO_DEEP),
        (b"null", letters.INVALID_RECORD),
        (b"[]", letters.INVALID_RECORD),
        (b"{}", letters.INVALID_RECORD),
        (goal_with_body(text="a\0b"), letters.FORBIDDEN_CHARACTER),
        (goal_with(match="\0"), letters.FORBIDDEN_CHARACTER),
        (goal_with_body(player="\ud800"), letters.FORBIDDEN_CHARACTER),
        (goal_with_body(player="\udc00 later"), letters.FORBIDDEN_CHARACTER),
        (b'"' + b"x" * MAX_RECORD_BYTES + b'"', letters.OVERSIZED),
    ],
)
def test_what_is_no_record_is_refused_with_its_reason(value: bytes, reason: str) -> None:
    assert refusal_of(value).reason == reason


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (goal_with(source="radio"), "$.source"),
        (goal_with(match=""), "$.match"),
        (goal_with(match="m" * 129), "$.match"),
        (goal_with(source_event_id=7), "$.source_event_id"),
        (goal_with(revision=-1), "$.revision"),
        (goal_with(revision=MAX_REVISION + 1), "$.revision"),
        (goal_with(revision=1.5), "$.revision"),
        (goal_with(action="delete"), "$.action"),
        (goal_with(type="Goal"), "$.type"),
        (goal_with(type="goal\n"), "$.type"),
        (goal_with(type="g" * 33), "$.type"),
        (goal_with(occurred_at="2024-03-16T20:00:00"), "$.occurred_at"),
        (goal_with(occurred_at="1969-12-31T23:59:59Z"), "$.occurred_at"),
        (goal_with(occurred_at="2200-01-01T00:00:00Z"), "$.occurred_at"),
        (goal_with(ingested_at="0001-01-01T00:00:00Z"), "$.ingested_at"),
        (goal_with_body(kick_off="9999-12-31T00:00:00Z"), "$.body.kick_off"),
        (goal_with_body(side="left"), "$.body.side"),
        (goal_with_body(period=6), "$.body.period"),
        (goal_with_body(clock=14_401), "$.body.clock"),
        (goal_with_body(player="x" * 121), "$.body.player"),
        (goal_with_body(text="x" * 4_001), "$.body.text"),
        (goal_with_body(x=1e9), "$.body.x"),
        (goal_with(insert_before=""), "$.insert_before"),
    ],
)
def test_a_bad_field_is_named(value: bytes, field: str) -> None:
    told = refusal_of(value)
    assert told.reason == letters.INVALID_RECORD
    assert f"`{field}`" in told.detail


def test_a_language_is_a_tag_without_a_line_end() -> None:
    value = encoded(a_post()).replace(b'"es"', b'"es\\n"')
    assert "$.body.language" in refusal_of(value).detail


def test_a_missing_field_is_named() -> None:
    value = json.loads(encoded(a_goal()))
    del value["occurred_at"]
    assert "occurred_at" in refusal_of(json.dumps(value).encode()).detail


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    r"""The six characters \u0000 may be written about."""
    event = parse(goal_with_body(text="the escape \\u0000"))
    assert isinstance(event, BroadcastEvent)
    assert event.body.text == "the escape \\u0000"


def test_a_whole_surrogate_pair_is_a_character() -> None:
    event = parse(goal_with_body(text="🎉"))
    assert isinstance(event, BroadcastEvent)
    assert event.body.text == "🎉"


def test_the_match_of_a_forbidden_character_is_told_where_it_can_be() -> None:
    assert refusal_of(goal_with_body(text="\0")).match == a_goal().match
    assert refusal_of(goal_with(match="\0")).match is None


def test_the_largest_record_of_ours_is_taken() -> None:
    """Every text at its limit, in letters of four bytes, fits."""
    event = a_goal("🎉" * 128, match="🎉" * 128, insert_before="🎉" * 128, text="🎉" * 4_000)
    assert parse(encoded(event)) == event
