"""Laws of the form of a record: one JSON value has one, and every parser reads the same from it."""

import json
import math
import re
import subprocess
from typing import Any

import msgspec
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.identity import hash_said
from schemas.record_form import MAX_INTEGER, unstamped
from schemas.validation import ReadRecord, Rejection, read
from tests.event_builders import a_goal, encoded
from tests.unit.web.node import node_argv

_GOAL = json.loads(encoded(a_goal()))
_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_numbers = st.integers(-MAX_INTEGER, MAX_INTEGER) | st.floats(allow_nan=False, allow_infinity=False)
_values = st.recursive(
    st.none() | st.booleans() | _numbers | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)
_names = _texts.filter(lambda name: name not in {*_GOAL, "source"})
_records = st.dictionaries(_names, _values, max_size=4).map(lambda more: {**_GOAL, **more})
# JSON texts that a hostile or careless sender may write: any of these may be refused, or read alike.
_LEAVES = """1 1.0 1e0 -0 1e16 1E-7 1e999 9007199254740993 18446744073709551617 null 0.30000000000000004
             "\\u0000" "\\ud800" "\\ud83d\\ude00" "\\/" "é" "\\\\u0000" """.split()
_fragments = st.recursive(
    st.sampled_from(_LEAVES),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{' , '.join(parts)}]")
        | st.lists(st.tuples(st.sampled_from(["a", r"\u0061", "b", "ingested_at"]), inner), max_size=3).map(
            lambda members: "{" + ",".join(f'"{name}": {value}' for name, value in members) + "}"
        )
    ),
    max_leaves=6,
)


def _accepted(value: bytes) -> ReadRecord:
    found = read(value)
    assert isinstance(found, ReadRecord), found
    return found


def _rewritten(value: Any, draw: st.DataObject) -> str:
    """A JSON text of a value: any order, spacing, escapes and spelling of numbers."""
    gap = draw.draw(st.sampled_from(["", " ", "\n\t"]))
    if isinstance(value, dict):
        members = draw.draw(st.permutations(sorted(value)))
        written = (f"{_rewritten(name, draw)}{gap}:{_rewritten(value[name], draw)}" for name in members)
        return "{" + gap + f",{gap}".join(written) + "}"
    if isinstance(value, list):
        return "[" + f"{gap},".join(_rewritten(element, draw) for element in value) + gap + "]"
    if isinstance(value, int | float) and not isinstance(value, bool) and float(value) == value:
        return draw.draw(st.sampled_from([json.dumps(value), f"{float(value):.17e}"]))
    return json.dumps(value, ensure_ascii=draw.draw(st.booleans()))


@given(_records, st.data())
def test_a_record_has_one_form_however_it_is_written(record: dict[str, Any], data: st.DataObject) -> None:
    """Order, spacing, escapes, and 1 or 1.0: the same record, so a repeat."""
    # Whole numbers in exponents are floats to a strict decoder: only of fields that we do not know.
    known = {name: json.dumps(record[name]) for name in _GOAL}
    more = {name: value for name, value in record.items() if name not in _GOAL}
    parts = [f'"{name}":{text}' for name, text in known.items()]
    parts += [f"{_rewritten(name, data)}:{_rewritten(value, data)}" for name, value in more.items()]
    other = _accepted(f"{{{' , '.join(data.draw(st.permutations(parts)))}}}".encode())
    assert other.said == _accepted(json.dumps(record).encode()).said


@given(_records, _records)
def test_records_have_one_hash_exactly_if_they_say_the_same(one: dict[str, Any], two: dict[str, Any]) -> None:
    ours, theirs = (_accepted(json.dumps(record).encode()) for record in (one, two))
    is_same = _without_nulls(one) == _without_nulls(two) and _types(one) == _types(two)
    assert (hash_said(ours.said) == hash_said(theirs.said)) == is_same


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(member) for name, member in value.items() if member is not None}
    return [_without_nulls(element) for element in value] if isinstance(value, list) else value


def _types(value: Any) -> Any:
    """Python holds True for 1."""
    if isinstance(value, dict):
        return {name: _types(member) for name, member in value.items() if member is not None}
    return [_types(element) for element in value] if isinstance(value, list) else isinstance(value, bool)


@given(_records)
def test_the_form_is_what_a_second_implementation_writes(record: dict[str, Any]) -> None:
    """Python's own, with integers for whole numbers: a serializer that changes its mind is noticed."""
    assert json.loads(_accepted(json.dumps(record).encode()).said) == _without_nulls(
        {name: value for name, value in record.items() if name != "ingested_at"}
    )
    said = _accepted(json.dumps(record).encode()).said
    expected = json.dumps(_whole(json.loads(said)), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert said.decode() == expected


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _whole(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_whole(element) for element in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_INTEGER:
        return int(value)
    return value


@given(_fragments)
def test_what_passes_reads_the_same_in_every_parser(text: str) -> None:
    """Whatever is sent, it is refused with a field or read alike by all; and its form is its own form."""
    found = read(encoded(a_goal())[:-1] + f',"extra":{text}}}'.encode())
    if isinstance(found, Rejection):
        assert found.detail
        return
    _assert_read_alike(found.said)
    assert _accepted(found.record).said == found.said == unstamped(found.record)


def _assert_read_alike(said: bytes) -> None:
    values = [json.loads(said), orjson.loads(said), msgspec.json.decode(said)]
    assert values[0] == values[1] == values[2]
    doubled = json.loads(said, object_pairs_hook=lambda pairs: len(pairs) - len(dict(pairs)))
    assert not doubled
    numbers = re.findall(rb"[:,\[](-?[0-9.]+(?:e[+-]?[0-9]+)?)(?=[,}\]])", said)
    assert all(math.isfinite(float(number)) for number in numbers)


_READ = "const t=require('fs').readFileSync(0,'utf8');console.log(JSON.stringify(JSON.parse(t)))"


@settings(max_examples=3)
@given(st.lists(_records, min_size=40, max_size=60))
def test_what_passes_reads_the_same_in_javascript(records: list[dict[str, Any]]) -> None:
    """What the page gets is what Python has, numbers to the last bit."""
    said = [_accepted(json.dumps(record).encode()).said for record in records]
    done = subprocess.run(
        node_argv("-e", _READ),
        input=b"[" + b",".join(said) + b"]",
        capture_output=True,
        check=True,
        timeout=30,
    )
    # JavaScript has doubles only, and writes a large one without its exponent.
    there = json.loads(done.stdout, parse_int=float)
    assert there == [json.loads(one, parse_int=float) for one in said]
