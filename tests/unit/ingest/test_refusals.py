"""A refusal names line, field and reason."""

import pytest

from ingest.refusals import Refusal, refusal_of
from schemas.validation import Rejection, parse
from tests.event_builders import a_reading, encoded


def refusal_for(value: bytes) -> Refusal:
    rejection = parse(value)
    assert isinstance(rejection, Rejection)
    return refusal_of(rejection, 7)


@pytest.mark.parametrize(
    ("good", "bad", "field", "reason"),
    [
        (b'"match":"fra-2031",', b"", "match", "required, but missing"),
        (b'"match":"fra-2031"', b'"match":""', "match", "Expected str of length >= 1"),
        (b'"heart_rate":140', b'"heart_rate":"fast"', "body.heart_rate", "Expected int | null, got str"),
        (b'"sensors"', b'"telepathy"', "source", "Invalid value 'telepathy'"),
        (b"2024-03-16T20:00:00Z", b"yesterday", "occurred_at", "Invalid RFC3339 encoded datetime"),
        (b"2024-03", b"1066-10", "occurred_at", "1066-10-16T20:00:00+00:00 is outside 1970..2199"),
    ],
)
def test_a_field_and_what_is_wrong_with_it_are_told(good: bytes, bad: bytes, field: str, reason: str) -> None:
    value = encoded(a_reading())
    assert good in value
    assert refusal_for(value.replace(good, bad)) == Refusal(7, field, reason, "invalid_record")


def test_a_line_that_is_no_json_has_no_field() -> None:
    refusal = refusal_for(b'{"match":')
    assert (refusal.field, refusal.code) == ("", "malformed_json")
    assert refusal.reason


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (encoded(a_reading()).replace(b"belt-7", b"\xff"), "invalid_utf8"),
        (encoded(a_reading()).replace(b"belt-7", b"\\u0000"), "forbidden_character"),
        (encoded(a_reading()).replace(b"belt-7", b"\\ud800"), "forbidden_character"),
        (b" " * 70_000, "oversized"),
        (b'{"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "nested_too_deep"),
    ],
)
def test_what_a_later_part_would_choke_on_is_refused_here(value: bytes, code: str) -> None:
    assert refusal_for(value).code == code
