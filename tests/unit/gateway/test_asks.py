"""What fans ask: every misfit is refused with the field named, and nothing raises anything else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.asks import Ask, Backfill, Join, Leave, Ping, RefusedError, Since, read

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def test_asks_are_read_with_their_defaults() -> None:
    assert read(Join, [{"match": "m"}]) == Join("m", None)
    assert read(Join, [{"match": "m\n", "since": {"generation": 5, "seq": 0}}]) == Join("m\n", Since(5, 0))
    assert read(Backfill, [{"match": "m", "generation": 5, "after_seq": 9}]) == Backfill("m", 5, 9, 200)
    known = {"generation": 5, "seq": 9, "chain": "aB" * 16}
    assert read(Join, [{"match": "m", "since": known}]) == Join("m", Since(5, 9, "aB" * 16))
    assert read(Join, [{"match": "m", "since": {**known, "chain": None}}]) == Join("m", Since(5, 9))
    assert read(Ping, []) == Ping(None)
    assert read(Leave, [{"match": "m", "what": "else"}]) == Leave("m")


@pytest.mark.parametrize(
    ("kind", "argument", "field"),
    [
        (Join, {}, "match"),
        (Join, {"match": 5}, "match"),
        (Join, {"match": ""}, "match"),
        (Join, {"match": "x" * 129}, "match"),
        (Join, {"match": "a\0b"}, "match"),
        (Join, {"match": "m", "since": 4}, "since"),
        (Join, {"match": "m", "since": {"seq": 1}}, "since.generation"),
        (Join, {"match": "m", "since": {"generation": 1, "seq": -1}}, "since.seq"),
        (Join, {"match": "m", "since": {"generation": True, "seq": 1}}, "since.generation"),
        (Join, {"match": "m", "since": {"generation": 1, "seq": 1, "chain": 5}}, "since.chain"),
        (Join, {"match": "m", "since": {"generation": 1, "seq": 1, "chain": "ab" * 15}}, "since.chain"),
        (Join, {"match": "m", "since": {"generation": 1, "seq": 1, "chain": "ab" * 17}}, "since.chain"),
        (Join, {"match": "m", "since": {"generation": 1, "seq": 1, "chain": "xy" * 16}}, "since.chain"),
        (Join, {"match": "m", "since": {"generation": 1, "seq": 1, "chain": "a" * 31 + "\n"}}, "since.chain"),
        (Backfill, {"match": "m", "generation": 1, "after_seq": 1, "chain": "\uff11" * 32}, "chain"),
        (Backfill, {"match": "m", "generation": 1, "after_seq": 1.5}, "after_seq"),
        (Backfill, {"match": "m", "generation": 1, "after_seq": 1, "limit": 0}, "limit"),
        (Backfill, {"match": "m", "generation": 1, "after_seq": 1, "limit": 1_001}, "limit"),
        (Ping, {"t": []}, "t"),
    ],
)
def test_a_misfit_names_its_field(kind: type[Ask], argument: Any, field: str) -> None:
    with pytest.raises(RefusedError) as refused:
        read(kind, [argument])
    answer = refused.value.as_answer()["error"]
    assert (answer["code"], answer["field"]) == ("invalid", field)
    assert answer["message"].startswith(f"{field}: ")


@given(arguments=st.lists(json_values, max_size=3), kind=st.sampled_from([Join, Leave, Backfill, Ping]))
def test_nothing_a_client_can_send_raises_anything_else(arguments: list[Any], kind: type[Ask]) -> None:
    try:
        read(kind, arguments)
    except RefusedError as refused:
        assert refused.code == "invalid"
