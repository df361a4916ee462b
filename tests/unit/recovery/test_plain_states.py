"""States of recovery stores: what is read of them, and what is refused before anything reads it."""

import pickle
import subprocess
import sys
from datetime import timedelta

import pytest
from confluent_kafka import OFFSET_BEGINNING
from hypothesis import given
from hypothesis import strategies as st

from dataflows.dedupe import FingerprintRing
from schemas.batch import EventBatch, event_of
from schemas.raw import RAW_TOPICS
from settings import ROOT
from sinks.event_log import state_of
from storage.history import Committed, CommitToken
from storage.plain_pickle import NotPlainError, load_plain
from storage.store_states import APPEND_STEP, DEDUPE_STEP, READ_STEP, read_state
from tests.event_builders import a_pass, as_read
from tests.fixtures.recovery_stores import CHAIN


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04",
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x8c\x02os\x8c\x04exit\x93.",
        b"Pme\n.",
        b"}",
    ],
)
def test_a_pickle_of_more_than_builtins_is_refused(data: bytes) -> None:
    with pytest.raises(NotPlainError):
        load_plain(data)


def _bomb(index: int) -> bytes:
    """Nine bytes that have Python's reader make a memo of so many slots."""
    return b"\x80\x04Nr" + index.to_bytes(4, "little") + b"."


def _twice(levels: int) -> bytes:
    """A list that holds the list before it twice, and so on: 2 ** levels values in a few hundred bytes."""
    inner = b"]\x94"
    for level in range(levels):
        inner += b"](h" + bytes([level]) + b"h" + bytes([level]) + b"e\x94"
    return b"\x80\x04" + inner + b"."


def _dear_key(levels: int) -> bytes:
    """A dict whose key is a tuple that is hashed 2 ** levels times."""
    key = b"N\x85\x94"
    for level in range(levels):
        key += b"h" + bytes([level]) + b"h" + bytes([level]) + b"\x86\x94"
    return b"\x80\x04}(" + key + b"tK\x01s."


@pytest.mark.parametrize(
    "data",
    [
        _dear_key(60),
        _dear_key(60).replace(b"}(", b"}((").replace(b"tK\x01s.", b"tK\x01u."),
        pickle.dumps({}, 4)[:2]
        + b"}("
        + b"".join(
            b"\x8a\x0b" + (number * (2**61 - 1)).to_bytes(11, "little") + b"N" for number in range(1, 20_000)
        )
        + b"u.",
        _bomb(2**25),
        _twice(60),
        b"\x80\x04" + b"(" * 100 + b"l" * 100 + b".",
        b"\x80\x04" + b"]" * 100 + b"a" * 99 + b".",
        b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b".",
        b"\x80\x04\x8b" + (2**31 - 1).to_bytes(4, "little") + b".",
        b"\x80\x04\x82\x01.",
        b"\x80\x04]\x94h\x00a.",
        b"\x80\x04K\x01.cos\nsystem\n",
        b"\x80\x04\x8f.",
        b"\x80\x04N}b.",
        b"\x80\x09N.",
        pickle.dumps(bytearray(3)),
        pickle.dumps(frozenset()),
    ],
    ids=[
        "key_that_takes_hours",
        "keys_that_take_hours",
        "keys_of_one_hash",
        "memo_of_gigabytes",
        "more_than_any_memory",
        "lists_by_mark",
        "deep",
        "bytes_that_are_not_there",
        "number_of_gigabytes",
        "extension",
        "holds_itself",
        "goes_on_behind_its_end",
        "set",
        "build",
        "protocol_of_the_future",
        "bytearray",
        "frozenset",
    ],
)
def test_a_pickle_that_only_costs_is_refused_before_it_is_read(data: bytes) -> None:
    """In a process of its own: what is allocated first and checked later shows in its memory, or ends it."""
    code = (
        "import resource, sys, tracemalloc; from storage.plain_pickle import NotPlainError, load_plain\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (10, 10))\n"
        "data = sys.stdin.buffer.read(); tracemalloc.start()\n"
        "try: load_plain(data)\n"
        "except NotPlainError: print('refused')\n"
        "print(tracemalloc.get_traced_memory()[1] < 2**20)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=data, cwd=ROOT, capture_output=True, check=False
    )
    assert (done.stdout.split(), done.stderr) == ([b"refused", b"True"], b"")


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**200), 2**200)
        | st.floats(allow_nan=False)
        | st.text()
        | st.binary(),
        lambda inner: (
            st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(), inner)
        ),
        max_leaves=30,
    )
)
def test_what_bytewax_writes_of_builtins_is_read_as_it_was(value: object) -> None:
    """By either protocol that Python writes by default; depth beyond what a state has is refused instead."""
    for protocol in (4, 5):
        try:
            assert load_plain(pickle.dumps(value, protocol)) == value
        except NotPlainError as error:
            assert "deeper than" in str(error)


@pytest.mark.parametrize(
    ("step", "value"),
    [
        (READ_STEP, {"broadcast-events": 2**63}),
        (READ_STEP, {"broadcast-events": True}),
        (READ_STEP, {1: 2}),
        (READ_STEP, {str(number): 1 for number in range(65)}),
        (READ_STEP, [("broadcast-events", 1)]),
        (DEDUPE_STEP, None),
        (DEDUPE_STEP, (1,)),
        (DEDUPE_STEP, (2, [])),
        (DEDUPE_STEP, (1, [(1, b"123")])),
        (DEDUPE_STEP, (1, [(1, "12345678")])),
        (DEDUPE_STEP, (1, [(1.5, b"12345678")])),
        (DEDUPE_STEP, (1, [(2**64, b"12345678")])),
        (DEDUPE_STEP, (1, [(1, bytes(8 * 250_001))])),
        (DEDUPE_STEP, (1, {1: b"12345678"})),
        (APPEND_STEP, (1, -1, CHAIN)),
        (APPEND_STEP, (1, 2**63, CHAIN)),
        (APPEND_STEP, (1, 7, CHAIN + b"x")),
        (APPEND_STEP, (1, 7, CHAIN, b"token")),
        (APPEND_STEP, (2, 7, CHAIN)),
        (APPEND_STEP, (2, 7, CHAIN, "token", 1)),
        (APPEND_STEP, (2, 7, CHAIN, b"short", 1)),
        (APPEND_STEP, (2, 7, CHAIN, bytes(25), 1)),
        (APPEND_STEP, (2, 7, CHAIN, b"\xff" * 24, 1)),
        (APPEND_STEP, (2, 7, CHAIN, bytes(24))),
        (APPEND_STEP, (2, 7, CHAIN, bytes(24), -1)),
        (APPEND_STEP, (9, 7, CHAIN)),
        (APPEND_STEP, (1, True, CHAIN)),
        (APPEND_STEP, 7),
    ],
)
def test_a_plain_state_of_another_shape_is_refused(step: str, value: object) -> None:
    """A step that is given it would end each start of its lane."""
    with pytest.raises(NotPlainError):
        read_state(step, pickle.dumps(value))


def test_what_the_steps_themselves_write_is_read() -> None:
    """The shapes that storage knows are those of the steps, in both versions that the sink has had."""
    marking = FingerprintRing(timedelta(hours=1), lambda: a_pass().occurred_at, None)
    marking.mark(EventBatch("broadcast-events", 0, [event_of(as_read(a_pass("p1")), 0, b"")], 1))
    state = marking.snapshot()
    assert state[1]
    for step, written in (
        (DEDUPE_STEP, state),
        (READ_STEP, dict.fromkeys(RAW_TOPICS, OFFSET_BEGINNING)),
        (APPEND_STEP, (1, 7, CHAIN)),
        (APPEND_STEP, state_of(Committed(7, CHAIN, CommitToken(7, CHAIN), 1))),
    ):
        assert read_state(step, pickle.dumps(written)) == written
