"""The one form of a record. A change of any bytes here is a migration of every log."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from schemas import letters
from schemas.identity import hash_said
from schemas.raw import BroadcastBody, BroadcastEvent, DerivedBody, RawEvent, SensorBody, SocialBody
from schemas.record_form import (
    MAX_DEPTH,
    MAX_RECORD_BYTES,
    STAMP_BYTES,
    form_of_ours,
    stamped,
    unstamped,
)
from schemas.validation import ReadRecord, Rejection, read
from tests.event_builders import KICK_OFF, a_goal, a_reading, encoded

_GOAL = json.loads(encoded(a_goal()))


def _with(text: str) -> bytes:
    """A goal that says one thing more, in exactly these characters."""
    return encoded(a_goal())[:-1] + f',"extra":{text}}}'.encode()


def _said(value: bytes) -> bytes:
    found = read(value)
    assert isinstance(found, ReadRecord), found
    return found.said


def _extra(text: str) -> str:
    said = _said(_with(text)).decode()
    return said[said.index('"extra":') + len('"extra":') : said.index(',"match"')]


def _refusal(value: bytes) -> Rejection:
    found = read(value)
    assert isinstance(found, Rejection), found
    return found


def test_the_form_of_a_goal() -> None:
    assert _said(encoded(a_goal())) == (
        b'{"action":"add","body":{"clock":600,"period":1,"player":"Artem","side":"home"},"match":"fra-2031",'
        b'"occurred_at":"2024-03-16T20:10:00Z","revision":0,"source":"broadcast",'
        b'"source_event_id":"goal-1","type":"goal"}'
    )


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("1.0", "1"),
        ("-0.0", "0"),
        ("-0", "0"),
        ("1E2", "100"),
        ("9007199254740991.0", "9007199254740991"),
        ("9007199254740992.0", "9007199254740992.0"),
        ("0.10", "0.1"),
        ("2.50", "2.5"),
        ("0.1000000000000000055511151231257827", "0.1"),
        ("1234567.125", "1234567.125"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("1e-7", "1e-07"),
        ("-2.5e-9", "-2.5e-09"),
        ("5e-324", "5e-324"),
        ("1e-400", "0"),
        ("1e16", "1e+16"),
        ("1e22", "1e+22"),
        ("123456789012345678e5", "1.2345678901234568e+22"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        (r'"\u00e9\/\u001f\b\u007f\ud83d\ude00"', '"é/\\u001f\\b\x7f😀"'),
        ('"\u2028<&>"', '"\u2028<&>"'),
        ('{"b":1,"a":[1,{"d":null,"c":[null]}]}', '{"a":[1,{"c":[null]}],"b":1}'),
        ('{"é":1,"\uffff":1,"😀":1,"z":1,"Z":1}', '{"Z":1,"z":1,"é":1,"\uffff":1,"😀":1}'),
        ("[]", "[]"),
        ("true", "true"),
    ],
)
def test_every_value_has_one_spelling(written: str, form: str) -> None:
    """No serializer of another release may spell one otherwise: all hashes would change."""
    assert _extra(written) == form


def test_what_is_left_out_is_filled_in_where_readers_rely_on_it() -> None:
    least = {name: _GOAL[name] for name in ("source", "match", "source_event_id", "type", "occurred_at")}
    full = least | {"revision": 0, "action": "add", "body": {}, "insert_before": None, "extra": None}
    said = _said(json.dumps(least).encode())
    assert said == _said(json.dumps(full).encode())
    assert {"revision": 0, "action": "add", "body": {}}.items() <= json.loads(said).items()


@pytest.mark.parametrize(
    "written", ["2024-03-16T20:10:00Z", "2024-03-16T20:10:00.000+00:00", "2024-03-16 20:10:00.0000000Z"]
)
def test_the_moment_of_an_event_has_one_spelling(written: str) -> None:
    assert _said(json.dumps({**_GOAL, "occurred_at": written}).encode()) == _said(encoded(a_goal()))


def test_our_stamp_is_spliced_behind_what_was_said_and_taken_off_again() -> None:
    at = datetime(2026, 11, 30, 12, 0, 0, 120_000, tzinfo=UTC)
    said = _said(encoded(a_goal()))
    record = stamped(said, at)
    assert record == said[:-1] + b',"ingested_at":"2026-11-30T12:00:00.120000Z"}'
    assert (_said(record), unstamped(record), unstamped(said)) == (said, said, said)
    found = read(record)
    assert isinstance(found, ReadRecord)
    assert found.record is record


def test_a_field_of_the_source_may_be_called_as_our_stamp_is() -> None:
    for body in ('{"z":{"ingested_at":"x"}}', '{"ingested_at":"2026-01-01T00:00:00Z","z":1}'):
        said = _said(encoded(a_goal()).replace(b'"ingested_at":null', f'"zz":{body}'.encode()))
        assert b"ingested_at" in unstamped(said)
        assert unstamped(stamped(said, KICK_OFF)) == said


def test_a_moment_with_an_offset_keeps_it() -> None:
    """Where it was said is part of what was said."""
    paris = KICK_OFF.astimezone(timezone(timedelta(hours=1)))
    assert b'"2024-03-16T21:00:00+01:00"' in form_of_ours(a_goal(occurred_at=paris))


@pytest.mark.parametrize(
    ("text", "reason", "field"),
    [
        ('{"xg":1,"xg":1}', letters.INVALID_RECORD, "$.extra.xg"),
        ('[{"a":{"b":1,"b":2}}]', letters.INVALID_RECORD, "$.extra[...].a.b"),
        (r'{"xg":1,"\u0078g":2}', letters.INVALID_RECORD, "$.extra.xg"),
        ("9007199254740992", letters.INVALID_RECORD, "$.extra"),
        ("-9007199254740992", letters.INVALID_RECORD, "$.extra"),
        ('{"id":123456789012345678901234567890}', letters.INVALID_RECORD, "$.extra.id"),
        ("1e999", letters.INVALID_RECORD, "$.extra"),
        ('{"odds":[-1e400]}', letters.INVALID_RECORD, "$.extra.odds[...]"),
        (r'"\u0000"', letters.FORBIDDEN_CHARACTER, "$.extra"),
        (r'{"\u0000":1}', letters.FORBIDDEN_CHARACTER, "$.extra.?"),
        ("[" * MAX_DEPTH + "]" * MAX_DEPTH, letters.TOO_DEEP, "$.extra"),
    ],
)
def test_what_parsers_read_differently_is_refused_and_named(text: str, reason: str, field: str) -> None:
    told = _refusal(_with(text))
    assert told.reason == reason
    assert f"`{field}" in told.detail
    assert told.match == a_goal().match


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (r'"\ud83d"', letters.FORBIDDEN_CHARACTER),
        ("[" * 9_000 + "]" * 9_000, letters.TOO_DEEP),
        ("NaN", letters.MALFORMED_JSON),
        ("[" + "1e15," * 12_000 + "1]", letters.OVERSIZED),
    ],
)
def test_what_no_parser_takes_is_refused(text: str, reason: str) -> None:
    """Or what only fits while it is written shortly."""
    assert _refusal(_with(text)).reason == reason


def test_what_ingest_confirms_is_not_too_large_behind_its_stamp() -> None:
    """The largest record that is taken is taken once more by the lane; one byte more is refused at once."""
    room = MAX_RECORD_BYTES - STAMP_BYTES - len(_said(_with('""')))
    said = _said(_with('"' + "x" * room + '"'))
    sent = stamped(said, KICK_OFF + timedelta(microseconds=1))
    assert len(sent) <= MAX_RECORD_BYTES
    assert _said(sent) == said
    assert _refusal(_with('"' + "x" * (room + 1) + '"')).reason == letters.OVERSIZED


def test_bytes_that_are_no_text_are_refused_in_a_field_nobody_knows() -> None:
    assert _refusal(_with('"?"').replace(b"?", b"\xff")).reason == letters.INVALID_UTF8


def test_a_known_field_named_twice_is_refused() -> None:
    assert "`$.revision`" in _refusal(encoded(a_goal())[:-1] + b',"revision":0}').detail


def test_the_deepest_record_and_the_widest_are_taken() -> None:
    inner = MAX_DEPTH - 1
    assert _extra("[" * inner + "]" * inner) == "[" * inner + "]" * inner
    assert len(_said(_with("[" + "{}," * 200 + "0]"))) < MAX_RECORD_BYTES


def test_what_a_mapper_makes_reads_as_if_it_had_been_sent() -> None:
    assert form_of_ours(a_reading()) == _said(encoded(a_reading()))


class _GrownBody(BroadcastBody, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    xg: float | None = None


class _Grown(BroadcastEvent, frozen=True, gc=False, tag="broadcast"):
    venue: str | None = None
    body: _GrownBody = _GrownBody()


def test_a_field_more_in_our_structs_changes_no_hash() -> None:
    """Neither of records that say it nor of those that do not; nor of what a mapper makes without it."""
    sent = json.dumps({**_GOAL, "venue": "Montjuïc", "body": {**_GOAL["body"], "xg": 0.31}}).encode()
    grown = msgspec.json.decode(sent, type=_Grown)
    assert (grown.venue, grown.body.xg) == ("Montjuïc", 0.31)
    assert hash_said(form_of_ours(grown)) == hash_said(_said(sent))
    without = msgspec.json.decode(encoded(a_goal()), type=_Grown)
    assert form_of_ours(without) == form_of_ours(a_goal())


# The envelope and the bodies as they were when hashes began to be of the form.
_FIRST_FIELDS = {"match", "source_event_id", "revision", "action", "type", "occurred_at", "insert_before"}
_FIRST_FIELDS |= {"ingested_at", "body"}


@pytest.mark.parametrize("kind", RawEvent.__args__)
def test_a_field_that_is_added_may_be_left_out(kind: Any) -> None:
    """A mapper's record of yesterday must have the form that it had: new fields are null unless said."""
    for field in msgspec.structs.fields(kind):
        assert field.name in _FIRST_FIELDS or field.default is None, f"{kind.__name__}.{field.name}"


@pytest.mark.parametrize("body", [SensorBody, BroadcastBody, SocialBody, DerivedBody])
def test_a_field_of_a_body_that_is_not_said_is_not_written(body: Any) -> None:
    assert body.__struct_config__.omit_defaults
    required = {field.name for field in msgspec.structs.fields(body) if field.required}
    assert required == ({"of", "of_revision", "series"} if body is DerivedBody else set())
