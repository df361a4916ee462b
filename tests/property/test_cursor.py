"""The cursor rule: whatever a stream loses, repeats or mixes up, each event is taken once and in order."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from gateway.channel import Channels
from gateway.cursor import Cursor, Drop, Hole, OtherLife, Take, continues, judge
from gateway.followers import Followers
from schemas.partitioning import partition_of
from storage.log_reads import LogRow, ShardHead
from storage.stream_reads import Pack

GENERATION = 7
SHARDS = 1
MATCHES = ("alpha", "beta")

numbers = st.integers(0, 60)


@given(mine=numbers, first=st.integers(1, 60), length=st.integers(1, 20))
def test_a_verdict_never_skips_and_never_repeats(mine: int, first: int, length: int) -> None:
    """Taken events are exactly those after mine; a hole is exactly what lies between."""
    last = first + length - 1
    verdict = judge(Cursor(GENERATION, mine), GENERATION, first, last)
    if isinstance(verdict, Drop):
        assert last <= mine
    elif isinstance(verdict, Take):
        assert first + verdict.skip == mine + 1 <= last
    else:
        assert isinstance(verdict, Hole)
        assert (verdict.first, verdict.last) == (mine + 1, first - 1)
        assert verdict.first <= verdict.last


@given(mine=numbers, first=st.integers(1, 60), other=st.integers(0, 20).filter(lambda g: g != GENERATION))
def test_numbers_of_another_life_mean_nothing(mine: int, first: int, other: int) -> None:
    assert judge(Cursor(GENERATION, mine), other, first, first) == OtherLife(other)


@given(mine=numbers, kept=st.sets(st.integers(0, 12)))
def test_the_exact_count_is_required(mine: int, kept: set[int]) -> None:
    """Distinct and in order, as the log's primary key gives them."""
    read = [mine + 1 + n for n in sorted(kept)]
    assert continues(Cursor(GENERATION, mine), read) == (read == list(range(mine + 1, mine + 1 + len(read))))


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
    followers.see_heads([ShardHead(0, GENERATION, 0)], 0.0)
    opened = {match: channels.open(match, partition_of(match, SHARDS), GENERATION) for match in MATCHES}

    for step in steps:
        if step.kind == "grow":
            for _ in range(step.length):
                log.append(_row(log, which[len(log) % len(which)]))
        elif step.kind == "read":
            for shard, place in followers.for_log.items():
                followers.take_rows(place, log[place.position : place.position + step.length])
                assert shard == 0
        else:
            at = max(0, len(log) + step.first)
            rows = log[at : at + step.length]
            if rows:
                followers.take_pack(_pack(rows, step.kind == "damaged"))

    followers.lose_streams()
    (place,) = followers.for_log.values()
    followers.take_rows(place, log[place.position :])
    for match, channel in opened.items():
        expected = [row.payload for row in log if row.match == match]
        assert (channel.after(0) or []) == expected
        assert (channel.seq or 0) == len(expected)


def _no_restart(_channel: object, reason: str) -> None:
    raise AssertionError(reason)


def _row(log: list[LogRow], match: str) -> LogRow:
    seq = 1 + sum(row.match == match for row in log)
    payload = b'{"seq":%d,"event":{"match":"%s"}}' % (seq, match.encode())
    return LogRow(0, len(log) + 1, match, seq, payload)


def _pack(rows: list[LogRow], is_damaged: bool) -> Pack:
    payloads = [row.payload for row in rows]
    if is_damaged:
        payloads[-1] = b"{"
    return Pack(0, GENERATION, rows[0].position, rows[-1].position, payloads)
