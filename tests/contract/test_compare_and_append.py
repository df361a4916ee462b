"""Compare-and-append, on a real server: a stream only ever holds the log, without a gap."""

import random
import threading
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from schemas.identity import ZERO_CHAIN
from schemas.pack import pack
from settings import Settings
from storage.streams import (
    NO_TOP,
    Outcome,
    PackToAppend,
    StreamName,
    Streams,
    StreamsUnavailableError,
    StreamTop,
    stream_name,
)

pytestmark = pytest.mark.integration

# No other test uses this shard number, so the server may be shared.
STREAM = StreamName(1_023, 1_700_000_000_000)
ANSWER_WITHIN = timedelta(seconds=5)


def chain_at(position: int, history: int = 0) -> bytes:
    """The chain of an imagined log; another history has other chains everywhere."""
    return ZERO_CHAIN if position == 0 else f"{history:04d}{position:012d}".encode()


def place(position: int, history: int = 0) -> StreamTop:
    return StreamTop(position, chain_at(position, history))


def payload(position: int) -> bytes:
    return f'{{"seq":{position}}}'.encode()


def a_pack(after: int, to: int, history: int = 0, may_begin: bool = False) -> PackToAppend:
    """The events `after`+1 to `to`."""
    events = pack([payload(position) for position in range(after + 1, to + 1)])
    chains = b"".join([chain_at(position, history) for position in range(after, to + 1)])
    return PackToAppend(STREAM.key, place(after, history), place(to, history), events, chains, may_begin)


def positions(streams: Streams) -> list[int]:
    """Every position of the stream, as a reader sees them; fails when an entry holds other events."""
    found: list[int] = []
    for entry in streams.read_after(STREAM.key, 0, 100_000):
        held = list(range(entry.first, entry.top.position + 1))
        assert entry.payloads == [payload(position) for position in held]
        assert entry.top.chain == chain_at(entry.top.position)
        found += held
    return found


@pytest.fixture
def redis(stack: Settings) -> Iterator["Redis"]:
    """What a person could do to the server behind our back."""
    with Redis.from_url(stack.redis) as client:
        client.delete(STREAM.key)
        yield client
        client.delete(STREAM.key)


@pytest.fixture
def streams(stack: Settings, redis: "Redis") -> Iterator[Streams]:
    opened = Streams(stack.redis, ANSWER_WITHIN)
    yield opened
    opened.close()


def test_a_pack_that_follows_the_top_is_appended(streams: Streams) -> None:
    assert streams.append([a_pack(0, 3), a_pack(3, 4)]) == [
        Outcome(True, place(3)),
        Outcome(True, place(4)),
    ]
    assert positions(streams) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(a_pack(6, 8), id="a gap"),
        pytest.param(a_pack(0, 5), id="a repeat"),
        pytest.param(a_pack(3, 8), id="an overlap"),
        pytest.param(a_pack(5, 8, history=1), id="another chain at the same position"),
        pytest.param(a_pack(3, 8, may_begin=True), id="a beginning of a stream that is there"),
    ],
)
def test_what_does_not_follow_the_top_is_refused(streams: Streams, refused: PackToAppend) -> None:
    """The answer names the real top, and the stream stays as it was."""
    streams.append([a_pack(0, 5)])
    assert streams.append([refused]) == [Outcome(False, place(5))]
    assert positions(streams) == [1, 2, 3, 4, 5]


def test_a_refusal_refuses_what_builds_on_it(streams: Streams) -> None:
    """Packs sent together need no answer in between: each one names what it follows."""
    streams.append([a_pack(0, 2)])
    outcomes = streams.append([a_pack(3, 5), a_pack(5, 9), a_pack(2, 3)])
    assert [outcome.is_appended for outcome in outcomes] == [False, False, True]
    assert positions(streams) == [1, 2, 3]


def test_a_missing_stream_begins_later_only_on_purpose(streams: Streams) -> None:
    """Only a caller that knows the rest to be trimmed may begin above the first position."""
    assert streams.append([a_pack(7, 9)]) == [Outcome(False, NO_TOP)]
    assert streams.append([a_pack(7, 9, may_begin=True)]) == [Outcome(True, place(9))]
    assert positions(streams) == [8, 9]


def test_positions_beyond_what_a_float_holds_are_told_apart(streams: Streams) -> None:
    """Lua's numbers are floats: 2**53 and 2**53 + 1 would be the same."""
    huge = 2**53
    streams.append([a_pack(huge - 1, huge, may_begin=True)])
    assert streams.append([a_pack(huge + 1, huge + 2)]) == [Outcome(False, place(huge))]
    assert streams.append([a_pack(huge, huge + 1)]) == [Outcome(True, place(huge + 1))]


def test_a_server_that_forgot_the_scripts_is_given_them_again(streams: Streams, redis: "Redis") -> None:
    redis.script_flush()
    assert streams.append([a_pack(0, 1), a_pack(1, 2)])[1].is_appended
    redis.script_flush()
    assert streams.tops([STREAM.key], {}) == [place(2)]


@pytest.mark.parametrize("emptied", [True, False])
def test_a_stream_with_entries_deleted_by_hand_is_made_anew(
    streams: Streams, redis: "Redis", emptied: bool
) -> None:
    """XADD refuses ids that were there once, so the damaged copy has to go."""
    streams.append([a_pack(0, 2), a_pack(2, 5)])
    if emptied:
        redis.xtrim(STREAM.key, maxlen=0, approximate=False)
    else:
        redis.xdel(STREAM.key, "5-0")
    streams.append([a_pack(0 if emptied else 2, 4)])
    assert streams.tops([STREAM.key], {}) == [None]
    assert streams.append([a_pack(0, 4)]) == [Outcome(True, place(4))]


def test_tops_are_read_without_the_events(streams: Streams, redis: "Redis") -> None:
    """A known top is believed while nothing lies behind it, and a missing stream has none."""
    other = stream_name(STREAM.shard, 1)
    streams.append([a_pack(0, 5)])
    assert streams.tops([STREAM.key, other], {}) == [place(5), None]
    assert streams.tops([STREAM.key], {STREAM.key: place(5)}) == [place(5)]
    streams.append([a_pack(5, 6)])
    assert streams.tops([STREAM.key], {STREAM.key: place(5)}) == [place(6)]
    redis.delete(STREAM.key)
    assert streams.tops([STREAM.key], {STREAM.key: place(6)}) == [None]


def test_a_reader_finds_its_position_inside_a_pack(streams: Streams) -> None:
    streams.append([a_pack(0, 4), a_pack(4, 9), a_pack(9, 10)])
    (inside,) = streams.read_after(STREAM.key, 6, 1)
    assert (inside.first, inside.top.position) == (5, 9)
    assert streams.read_after(STREAM.key, 10, 1) == []


def test_trimming_keeps_what_was_asked_for(streams: Streams) -> None:
    """Every pack that holds a kept position stays whole; the top always stays."""
    streams.append([a_pack(n, n + 10) for n in range(0, 5_000, 10)])
    streams.trim({STREAM.key: 3_005})
    kept = positions(streams)
    assert kept == list(range(kept[0], 5_001))
    assert 1 < kept[0] <= 3_005


def test_names_tell_streams_from_other_keys(streams: Streams, redis: "Redis") -> None:
    streams.append([a_pack(0, 1)])
    strangers = {"ev:{x}:1": "?", "ev:{1}": "?", "ev:{1}:x": "?"}
    redis.mset(strangers)
    assert STREAM in streams.names()
    streams.delete([STREAM.key])
    assert STREAM not in streams.names()
    redis.delete(*strangers)


def test_a_server_that_refuses_to_write_is_unavailable(streams: Streams, redis: "Redis") -> None:
    """A key of another kind stands for every error that a server may answer."""
    redis.set(STREAM.key, "not a stream")
    with pytest.raises(StreamsUnavailableError, match="WRONGTYPE"):
        streams.append([a_pack(0, 1)])
    redis.delete(STREAM.key)
    assert streams.append([a_pack(0, 1)])[0].is_appended


def test_a_lost_connection_is_an_error_and_the_next_call_connects(streams: Streams, redis: "Redis") -> None:
    """Never tried again unasked: the append whose answer was lost may have happened."""
    streams.append([a_pack(0, 1)])
    redis.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises(StreamsUnavailableError):
        streams.append([a_pack(1, 2)])
    assert streams.append([a_pack(1, 2)]) == [Outcome(True, place(2))]


_ATTEMPTS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 30), st.integers(1, 8), st.integers(0, 1), st.booleans()),
        st.sampled_from(["delete", "trim"]),
    ),
    max_size=40,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_ATTEMPTS)
def test_no_attempts_ever_leave_a_gap_or_another_history(
    streams: Streams, redis: "Redis", attempts: list[tuple[int, int, int, bool] | str]
) -> None:
    """Whatever is tried in whatever order, also between losses of the stream."""
    redis.delete(STREAM.key)
    for attempt in attempts:
        match attempt:
            case "delete":
                redis.delete(STREAM.key)
            case "trim":
                redis.xtrim(STREAM.key, maxlen=1, approximate=False)
            case (after, count, history, may_begin):
                (before,) = streams.tops([STREAM.key], {})
                follows = place(after, history) == (before or NO_TOP) or (before is None and may_begin)
                if history and follows:
                    continue  # nothing to compare with yet: any history may begin a stream
                (outcome,) = streams.append([a_pack(after, after + count, history, may_begin)])
                assert outcome.is_appended == follows
    held = positions(streams)
    assert held == list(range(held[0], held[-1] + 1)) if held else True


def test_a_writer_and_two_relays_make_the_log_together(stack: Settings, streams: Streams) -> None:
    """Each of them appends what it believes to be missing; the stream is the log, each position once.

    The writer, as the committer does, never tries again and skips some; the
    relays read the top and append from there.
    """
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    end = 2_000
    committed = threading.Event()
    head = [0]

    def write(chance: random.Random) -> None:
        own = Streams(stack.redis, ANSWER_WITHIN)
        while head[0] < end:
            after = head[0]
            head[0] = min(end, after + chance.randint(1, 9))
            if chance.random() < 0.9:
                own.append([a_pack(after, head[0])])
        committed.set()
        own.close()

    def repair(chance: random.Random) -> None:
        own = Streams(stack.redis, ANSWER_WITHIN)
        while True:
            is_last = committed.is_set()
            (top,) = own.tops([STREAM.key], {})
            after, to = (top or NO_TOP).position, head[0]
            cuts = sorted({after, to, *(chance.randint(after, to) for _ in range(3))}) if to > after else []
            own.append([a_pack(after, to) for after, to in pairwise(cuts)])
            if is_last:
                own.close()
                return

    threads = [
        threading.Thread(target=work, args=(random.Random(seed + number),))
        for number, work in enumerate((write, repair, repair))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert positions(streams) == list(range(1, end + 1))


def test_what_somebody_else_put_there_stays_within_what_a_log_can_have(
    redis: Redis, streams: Streams
) -> None:
    """PostgreSQL refuses larger numbers, and the relay would repair no stream at all."""
    key, others = STREAM.key, [f"ev:{{0}}:{10**15}", f"ev:{{0}}:{'9' * 5_000}"]
    redis.xadd(key, {"f": "1", "c": b"x" * 16, "e": b"", "h": b""}, id=f"{2**64 - 1}-0")
    try:
        for other in others:
            redis.set(other, "x")
        assert streams.tops([key], {}) == [StreamTop(2**63 - 1, b"x" * 16)]
        assert [name.generation for name in streams.names() if name.generation >= 10**15] == []
    finally:
        redis.delete(*others)
