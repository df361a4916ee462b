"""How rows become packs: in the write-through, and in a repair."""

from itertools import pairwise

from schemas.identity import ZERO_CHAIN
from schemas.log_position import Span
from schemas.pack import unpack
from sinks.live_streams import PACK_EVENTS, Delivery, joined
from sinks.stream_repair import PACK_BYTES, packs_of
from sinks.stream_repair import PACK_EVENTS as REPAIR_EVENTS
from storage.relay_reads import LoggedRow, Place
from storage.streams import StreamName, StreamTop

STREAM = StreamName(0, 1)


def chain_at(position: int) -> bytes:
    return position.to_bytes(16, "big")


def a_run(shard: int, after: int, to: int, generation: int = 1) -> Delivery:
    payloads = [b"%d" % position for position in range(after + 1, to + 1)]
    chains = [chain_at(position) for position in range(after + 1, to + 1)]
    return Delivery(shard, generation, after, chain_at(after), to, chain_at(to), payloads, chains)


def rows(count: int, size: int = 10) -> list[LoggedRow]:
    return [LoggedRow(n, chain_at(n), "m", b"x" * size) for n in range(1, count + 1)]


def test_runs_that_follow_each_other_are_joined_per_shard() -> None:
    assert joined([a_run(0, 0, 3), a_run(1, 0, 1), a_run(0, 3, 5), a_run(1, 1, 2)]) == [
        a_run(0, 0, 5),
        a_run(1, 0, 2),
    ]


def test_runs_are_not_joined_over_a_gap_or_a_new_life() -> None:
    apart = [a_run(0, 0, 3), a_run(0, 4, 5), a_run(0, 5, 6, generation=2)]
    assert joined(apart) == apart


def test_runs_of_another_history_are_not_joined() -> None:
    other = a_run(0, 3, 5)._replace(prev_chain=chain_at(99))
    assert joined([a_run(0, 0, 3), other]) == [a_run(0, 0, 3), other]


def test_joined_runs_stay_bounded_and_in_order() -> None:
    many = [a_run(0, n, n + 300) for n in range(0, 3_000, 300)]
    runs = joined(many)
    assert max(len(run.payloads) for run in runs) <= PACK_EVENTS
    assert [payload for run in runs for payload in run.payloads] == [b"%d" % n for n in range(1, 3_001)]


def test_a_repair_cuts_rows_into_packs_that_follow_each_other() -> None:
    packs = list(packs_of(STREAM, Place(0, ZERO_CHAIN), rows(2 * REPAIR_EVENTS + 1), may_begin=True))
    assert [len(unpack(each.events)) for each in packs] == [REPAIR_EVENTS, REPAIR_EVENTS, 1]
    assert [each.may_begin for each in packs] == [True, False, False]
    assert packs[0].previous == StreamTop(0, ZERO_CHAIN)
    for before, after in pairwise(packs):
        assert after.previous == before.top
    assert packs[-1].top == StreamTop(2 * REPAIR_EVENTS + 1, chain_at(2 * REPAIR_EVENTS + 1))
    for each in packs:
        first = each.previous.position + 1
        span = Span(STREAM.generation, first, each.chains)
        assert span.last == each.top.position
        assert span.chain_at(first - 1) == each.previous.chain
        assert all(span.chain_at(at) == chain_at(at) for at in range(first, span.last + 1))


def test_a_pack_of_large_events_is_bounded_in_bytes() -> None:
    """One that is larger than the bound goes alone, rather than never."""
    packs = list(packs_of(STREAM, Place(0, ZERO_CHAIN), rows(5, PACK_BYTES // 2 - 1), may_begin=False))
    assert [len(unpack(each.events)) for each in packs] == [2, 2, 1]
    packs = list(packs_of(STREAM, Place(0, ZERO_CHAIN), rows(2, PACK_BYTES + 1), may_begin=False))
    assert [len(unpack(each.events)) for each in packs] == [1, 1]


def test_nothing_to_append_is_no_pack() -> None:
    assert list(packs_of(STREAM, Place(0, ZERO_CHAIN), [], may_begin=True)) == []
