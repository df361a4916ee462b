"""Corrected copies: fields that are set, and bytes laid out for people."""

import msgspec
import pytest

from recovery.deadletters.edit import CannotEditError, compact, readable, with_fields_set
from recovery.deadletters.printing import hex_lines
from schemas.raw import BroadcastEvent
from schemas.validation import parse
from tests.event_builders import a_goal, encoded


def test_fields_are_set_as_json_where_they_read_as_json_else_as_text() -> None:
    copy = with_fields_set(encoded(a_goal()), ["body.player=Messi", "revision=2", 'body.text="2"'])
    event = parse(copy)
    assert isinstance(event, BroadcastEvent)
    assert (event.body.player, event.revision, event.body.text) == ("Messi", 2, "2")
    assert event.source_event_id == a_goal().source_event_id


def test_a_field_that_is_missing_is_added_with_what_it_lies_in() -> None:
    assert with_fields_set(b"{}", ["body.player=Aleix"]) == b'{"body":{"player":"Aleix"}}'


@pytest.mark.parametrize("original", [b"{oops", b"\xff", b"[1]"])
def test_what_is_no_object_cannot_have_fields(original: bytes) -> None:
    with pytest.raises(CannotEditError, match="--file"):
        with_fields_set(original, ["a=1"])


@pytest.mark.parametrize("assignment", ["player", "=3", "match.x=1"])
def test_an_assignment_that_is_none_is_refused(assignment: str) -> None:
    with pytest.raises(CannotEditError, match="--set"):
        with_fields_set(encoded(a_goal()), [assignment])


def test_what_an_editor_was_given_goes_back_without_its_spaces() -> None:
    value = encoded(a_goal())
    laid_out = readable(value)
    assert laid_out is not None
    assert laid_out.count(b"\n") > 5
    assert compact(laid_out) == msgspec.json.format(value, indent=-1)
    assert compact(b"{oops") == b"{oops"
    assert readable(b"{oops") is None


def test_other_bytes_are_shown_as_hex() -> None:
    first, second = hex_lines(b"{oops \xff\x00 and more than a line")
    assert first.startswith("000000  7b 6f 6f 70 73 20 ff 00")
    assert first.endswith("{oops .. and mor")
    assert second.startswith("000010")
