"""What to do about a look at the live streams. Pure: the same look gives the same tasks."""

from collections.abc import Callable, Iterator
from datetime import timedelta

from dataflows.stream_looks import Look, ShardView
from sinks.stream_repair import Begin, BeginAgain, BeginNewLife, Delete, Fill, Task, Trim
from storage.relay_reads import Place, ShardState

# Longer than any reader holds on to a life that is over.
DEAD_STREAMS_KEPT = timedelta(hours=1)


def planner(retention: int) -> Callable[[Look], list[Task]]:
    """The step that plans; at least `retention` events stay in each stream."""

    def plan(look: Look) -> list[Task]:
        tasks = [task for view in look.shards for task in plan_repair(view, retention)]
        if look.is_trim_due:
            tasks += [task for view in look.shards for task in plan_trim(view, retention)]
        tasks += plan_new_beginnings(look, retention)
        tasks += plan_deletions(look)
        return tasks

    return plan


def plan_repair(view: ShardView, retention: int) -> Iterator[Task]:
    """Fill a stream that is behind and stays behind; begin a new life where it and the log have parted.

    A stream that was behind only now is left alone: its write-through is
    under way, and an append by the relay would make that one be refused.
    """
    if has_parted(view) and view.top is not None:
        yield BeginNewLife(view.stream, Place(*view.top), view.log.head)
    elif view.is_behind and view.is_stuck:
        if view.top is None:
            yield Begin(view.stream, beginning(view.log, retention))
        else:
            yield Fill(view.stream, Place(*view.top))


def has_parted(view: ShardView) -> bool:
    """Whether a stream can no longer become what the log says.

    It holds another history, or rows that the log has lost, or what follows
    its end was dropped from the log.
    """
    return view.top is not None and view.log.chain_at != view.top.chain


def beginning(log: ShardState, retention: int) -> int:
    """The position after which a new stream begins: what lies before would be trimmed, or is dropped."""
    return max(log.base.position, log.head.position - retention)


def plan_new_beginnings(look: Look, retention: int) -> Iterator[Task]:
    """Begin a stream again that lost its beginning: somebody trimmed it, or restored a part of it.

    Where it ends says nothing about that, and what is missing in front
    cannot be put there.
    """
    for view in look.shards:
        first = look.starts.get(view.stream)
        latest = beginning(view.log, retention) + 1
        if first is not None and first > latest and not has_parted(view):
            yield BeginAgain(view.stream, first, latest)


def plan_trim(view: ShardView, retention: int) -> Iterator[Task]:
    """Trim what is older than the last `retention` events."""
    if view.top is not None and view.top.position > retention:
        yield Trim(view.stream, view.top.position - retention)


def plan_deletions(look: Look) -> Iterator[Task]:
    """Delete streams of lives that ended long ago.

    A generation is the time at which a life began, so a life ended when the
    next one's number says. A stream above the shard's generation is left
    alone: it may be of a life that began since the look.
    """
    kept_ms = DEAD_STREAMS_KEPT // timedelta(milliseconds=1)
    streams = look.streams or []
    for view in look.shards:
        lives = [name for name in streams if name.shard == view.log.shard] + [view.stream]
        for name in lives:
            later = [life.generation for life in lives if life.generation > name.generation]
            is_over = name.generation < view.stream.generation
            if is_over and view.log.now_ms - min(later) > kept_ms:
                yield Delete(name)
