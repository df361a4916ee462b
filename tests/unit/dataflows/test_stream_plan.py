"""What the relay does about each state of a stream."""

from dataflows.stream_looks import Look, ShardView
from dataflows.stream_plan import DEAD_STREAMS_KEPT, planner
from schemas.identity import ZERO_CHAIN
from sinks.stream_repair import Begin, BeginAgain, BeginNewLife, Delete, Fill, Task, Trim
from storage.relay_reads import Place, ShardState
from storage.streams import StreamName, StreamTop

NOW_MS = 1_700_000_000_000
STREAM = StreamName(2, NOW_MS - 1_000)
RETENTION = 100
NOTHING = Place(0, ZERO_CHAIN)


def a_place(position: int, history: bytes = b"h") -> Place:
    return Place(position, history + position.to_bytes(15, "big")) if position else NOTHING


def a_view(
    top: int | None,
    head: int,
    *,
    base: int = 0,
    history: bytes = b"h",
    log_has_top: bool = True,
    is_stuck: bool = True,
) -> ShardView:
    """A stream that ends at `top` beside a log that goes from `base` to `head`."""
    chain_at = a_place(top).chain if top is not None and log_has_top else None
    state = ShardState(STREAM.shard, STREAM.generation, a_place(base), a_place(head), chain_at, NOW_MS)
    end = None if top is None else StreamTop(*a_place(top, history))
    return ShardView(STREAM, end, state, is_stuck)


def plan(
    *views: ShardView,
    is_trim_due: bool = False,
    streams: list[StreamName] | None = None,
    start: int | None = None,
) -> list[Task]:
    return planner(RETENTION)(Look(list(views), is_trim_due, streams, {STREAM: start}))


def test_a_stream_that_ends_with_the_log_needs_nothing() -> None:
    assert plan(a_view(7, 7), a_view(None, 0), a_view(None, 9, base=9)) == []


def test_a_stream_that_stays_behind_is_filled_from_its_end() -> None:
    assert plan(a_view(5, 9)) == [Fill(STREAM, a_place(5))]


def test_a_stream_that_is_behind_only_now_is_left_to_its_write_through() -> None:
    """An append by the relay would make the one under way be refused, and so the next ones."""
    assert plan(a_view(5, 9, is_stuck=False), a_view(None, 9, is_stuck=False)) == []


def test_a_missing_stream_begins_with_what_is_kept() -> None:
    """At the log's base, or where trimming would begin."""
    assert plan(a_view(None, 40)) == [Begin(STREAM, 0)]
    assert plan(a_view(None, 40, base=30)) == [Begin(STREAM, 30)]
    assert plan(a_view(None, 1_040)) == [Begin(STREAM, 940)]


def test_a_top_above_the_head_begins_a_new_life() -> None:
    """The log lost what the stream has shown: readers must not take what comes next for its continuation."""
    assert plan(a_view(9, 7, log_has_top=False, is_stuck=False)) == [
        BeginNewLife(STREAM, a_place(9), a_place(7))
    ]


def test_another_chain_at_the_same_position_begins_a_new_life() -> None:
    for head in (9, 12):
        view = a_view(9, head, history=b"x", is_stuck=False)
        assert plan(view) == [BeginNewLife(STREAM, a_place(9, b"x"), a_place(head))]


def test_a_hole_that_the_log_no_longer_has_begins_a_new_life() -> None:
    """Positions between the stream's end and the log's base are gone for good."""
    assert plan(a_view(5, 20, base=10, log_has_top=False)) == [BeginNewLife(STREAM, a_place(5), a_place(20))]


def test_trimming_keeps_the_retention() -> None:
    assert plan(a_view(250, 250), is_trim_due=True) == [Trim(STREAM, 150)]
    assert plan(a_view(250, 250), a_view(100, 100)) == []
    assert plan(a_view(100, 100), is_trim_due=True) == []


def test_a_stream_that_lost_its_beginning_begins_again() -> None:
    """Nothing can be put in front of what is there; what trimming takes is not missing."""
    assert plan(a_view(40, 40), start=31) == [BeginAgain(STREAM, 31, 1)]
    assert plan(a_view(40, 40, base=20), start=31) == [BeginAgain(STREAM, 31, 21)]
    assert plan(a_view(1_040, 1_040), start=942) == [BeginAgain(STREAM, 942, 941)]
    for whole in (a_view(40, 40, base=30), a_view(131, 131), a_view(50, 500)):
        assert BeginAgain not in {type(task) for task in plan(whole, start=31)}


def test_a_stream_that_has_parted_keeps_what_it_shows() -> None:
    view = a_view(40, 30, log_has_top=False)
    assert plan(view, start=31) == [BeginNewLife(STREAM, a_place(40), a_place(30))]


def test_a_dead_stream_is_deleted_some_time_after_its_successor_began() -> None:
    """A generation is the time at which it began; streams of later lives are not ours to judge."""
    kept_ms = round(DEAD_STREAMS_KEPT.total_seconds() * 1_000)
    oldest = StreamName(STREAM.shard, NOW_MS - 3 * kept_ms)
    old = StreamName(STREAM.shard, NOW_MS - 2 * kept_ms)
    later = StreamName(STREAM.shard, STREAM.generation + 1)
    other = StreamName(STREAM.shard + 1, NOW_MS - 5 * kept_ms)
    assert plan(a_view(7, 7), streams=[oldest, old, STREAM, later, other]) == [Delete(oldest)]


def test_one_look_plans_for_every_shard() -> None:
    assert plan(a_view(5, 9), a_view(9, 9), a_view(None, 3)) == [
        Fill(STREAM, a_place(5)),
        Begin(STREAM, 0),
    ]
