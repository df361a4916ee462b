"""The cursor rule: whatever a stream loses, repeats or mixes up, each event is taken once and in order."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from gateway.channel import Channels
from gateway.followers import Followers
from schemas.identity import ZERO_CHAIN
from schemas.log_position import (
    Drop,
    Gap,
    LogPosition,
    OtherGeneration,
    OtherHistory,
    Span,
    Take,
    chained,
    judge,
)
from schemas.partitioning import partition_of
from storage.log_reads import LogRow, ShardSnapshot
from storage.stream_reads import Pack

GENERATION = 7
SHARDS = 1
MATCHES = ("alpha", "beta")

numbers = st.integers(0, 60)


def a_chain(position: int, history: bytes = b"h") -> bytes:
    return history + position.to_bytes(15, "big")


def a_span(first: int, last: int, history: bytes = b"h", generation: int = GENERATION) -> Span:
    return Span(
        generation, first, b"".join(a_chain(position, history) for position in range(first - 1, last + 1))
    )


def a_place(position: int) -> LogPosition:
    return LogPosition(GENERATION, position, a_chain(position))


@given(mine=numbers, first=st.integers(1, 60), length=st.integers(1, 20))
def test_a_verdict_never_skips_and_never_repeats(mine: int, first: int, length: int) -> None:
    """Taken events are exactly those after mine; a gap is exactly what lies between."""
    last = first + length - 1
    span = a_span(first, last)
    assert (span.first, span.last) == (first, last)
    verdict = judge(a_place(mine), span)
    if isinstance(verdict, Drop):
        assert last <= mine
    elif isinstance(verdict, Take):
        assert first + verdict.skip == mine + 1 <= last
    else:
        assert isinstance(verdict, Gap)
        assert (verdict.first, verdict.last) == (mine + 1, first - 1)
        assert verdict.first <= verdict.last


@given(mine=numbers, first=st.integers(1, 60), other=st.integers(0, 20).filter(lambda g: g != GENERATION))
def test_numbers_of_another_generation_mean_nothing(mine: int, first: int, other: int) -> None:
    assert judge(a_place(mine), a_span(first, first, generation=other)) == OtherGeneration(other)


@given(mine=numbers, first=st.integers(1, 60), length=st.integers(1, 20))
def test_nothing_of_another_history_is_taken(mine: int, first: int, length: int) -> None:
    """Whatever reaches to the cursor proves by its chain there that it continues the same log."""
    last = first + length - 1
    verdict = judge(a_place(mine), a_span(first, last, b"x"))
    assert not isinstance(verdict, Take)
    assert isinstance(verdict, OtherHistory) == (first - 1 <= mine <= last)


class Step(NamedTuple):
    """What happens next: the log grows, a pack comes, or the log is read."""

    kind: str
    first: int
    length: int


steps = st.lists(
    st.builds(
        Step, st.sampled_from(["grow", "pack", "damaged", "read"]), st.integers(-12, 6), st.integers(1, 12)
    ),
    max_size=60,
)


@given(steps=steps, which=st.lists(st.sampled_from(MATCHES), min_size=1, max_size=7))
def test_any_delivery_ends_in_each_event_once_and_in_order(steps: list[Step], which: list[str]) -> None:
    """Packs lost, repeated, overlapping, damaged, late; the log read at any moment: as the naive model."""
    log: list[LogRow] = []
    channels = Channels(keeps=10_000)
    followers = Followers(channels, _no_restart)
    followers.see_heads({}, [_snapshot([])], 0.0)
    opened = {match: channels.open(match, partition_of(match, SHARDS), GENERATION) for match in MATCHES}

    for step in steps:
        if step.kind == "grow":
            for _ in range(step.length):
                log.append(_row(log, which[len(log) % len(which)]))
        elif step.kind == "read":
            for cursor in followers.for_log.values():
                after = cursor.place.position
                followers.take_rows(cursor, _snapshot(log), log[after : after + step.length])
        else:
            at = max(0, len(log) + step.first)
            rows = log[at : at + step.length]
            if rows:
                followers.take_pack(_pack(log, rows, step.kind == "damaged"))

    followers.lose_streams()
    (cursor,) = followers.for_log.values()
    followers.take_rows(cursor, _snapshot(log), log[cursor.place.position :])
    for match, channel in opened.items():
        expected = [row.payload for row in log if row.match == match]
        assert [event.payload for event in channel.after(0) or []] == expected
        assert (channel.seq or 0) == len(expected)


def _no_restart(_channel: object, reason: str) -> None:
    raise AssertionError(reason)


def _snapshot(log: list[LogRow]) -> ShardSnapshot:
    return ShardSnapshot(0, LogPosition(GENERATION, len(log), _chain_at(log, len(log))), 0, holds_place=True)


def _chain_at(log: list[LogRow], position: int) -> bytes:
    return log[position - 1].chain if position else ZERO_CHAIN


def _row(log: list[LogRow], match: str) -> LogRow:
    seq = 1 + sum(row.match == match for row in log)
    payload = b'{"seq":%d,"event":{"match":"%s"}}' % (seq, match.encode())
    return LogRow(0, len(log) + 1, a_chain(len(log) + 1), match, seq, payload)


def _pack(log: list[LogRow], rows: list[LogRow], is_damaged: bool) -> Pack:
    payloads = [row.payload for row in rows]
    if is_damaged:
        payloads[-1] = b"{"
    first, last = rows[0].position, rows[-1].position
    chains = chained(_chain_at(log, first - 1), [row.chain for row in rows])
    return Pack(0, GENERATION, first, last, payloads, chains)
