"""Deal the shards to another number of lanes, while all of them stand.

New lanes start on empty stores. A store of enrich holds the ring of recent
identities, which has no authority, and offsets, which the log knows better:
an empty one costs a second look at the repeats of the last hour, never an
event. Moving rows between stores would have to guess which of two snapshots
is newer, and could be wrong. What an empty store does lose is its own memory
of the log's chain, so the audit before takes its place: a log that lost
history is refused.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from recovery.audit.receipt import Receipt
from recovery.lanes.holders import refuse_held
from recovery.lanes.state import lane_stores, shards_of, store_of
from recovery.prepare import HeldStore, hold_store, prepare_held
from recovery.stores.asides import name_aside, prune_asides, surplus
from settings import Settings
from storage.lane_reads import Session

# What a standing lane leaves undone, and what the relay will repair: no fault of the log.
UNDER_WAY = frozenset({"unread", "sum", "stream_hole"})


class DealRefusedError(RuntimeError):
    """The shards cannot be dealt now; `remedy` says what to do."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


class Move(NamedTuple):
    """An old store and where it goes."""

    store: Path
    aside: Path
    pruned: list[Path]  # older ones that were put aside, and go


class DealPlan(NamedTuple):
    """What a deal does."""

    before: int  # lanes
    after: int
    moves: list[Move]
    made: list[Path]
    shards: list[list[int]]  # of each new lane


class Dealt(msgspec.Struct, frozen=True, kw_only=True):
    """What a deal did, or would do."""

    is_done: bool  # False for a dry run
    lanes_before: int
    lanes_after: int
    aside: dict[str, str]  # old store -> where it is now
    pruned: list[str]  # what was put aside by earlier commands, and went
    stores: dict[str, list[int]]  # new store -> its lane's shards
    audit_before: dict[str, int]  # differences of each kind that only time will settle
    audit_after: dict[str, int]


Audit = Callable[[], Receipt]


def plan_deal(settings: Settings, count: int, now: datetime) -> DealPlan:
    """Say what a deal to so many lanes would do; raise DealRefusedError for a number that cannot be."""
    if not 1 <= count <= settings.shards:
        raise DealRefusedError(
            f"{count} lanes cannot share {settings.shards} shards: each takes at least one.",
            f"Deal 1 to {settings.shards}. The number of shards is fixed for the life of an installation.",
        )
    old = lane_stores(settings)
    moves = [Move(store, name_aside(store, now), surplus(store, 1)) for store in old if store.is_dir()]
    made = [store_of(settings, lane) for lane in range(count)]
    return DealPlan(
        len(old), count, moves, made, [shards_of(lane, count, settings.shards) for lane in range(count)]
    )


def refuse_if_held(plan: DealPlan) -> None:
    """Raise StoreInUseError when a lane has one of the stores; holds nothing."""
    refuse_held((*(move.store for move in plan.moves), *plan.made))


def refuse_if_connected(sessions: Sequence[Session]) -> None:
    """Raise DealRefusedError while a lane, here or elsewhere, is connected to write."""
    if sessions:
        named = ", ".join(f"{s.lane or '?'} from {s.address}" for s in sessions)
        raise DealRefusedError(f"lanes are connected to write: {named}.", _STOP)


_STOP = "Stop every lane (SIGTERM ends one in a closed flow epoch), then deal again."


def deal(plan: DealPlan, audit: Audit, is_anybody_there: Callable[[], Sequence[Session]]) -> Dealt:
    """Put the old stores aside and make the new ones, between two audits.

    No lane can start meanwhile. Raises StoreInUseError, DealRefusedError,
    PrepareError and what an audit raises; before the first store moved,
    nothing has changed. A crash in between leaves some stores aside: lanes
    may start on what is there, and dealing again finishes.
    """
    with ExitStack() as stack:
        held = _hold(plan, stack)
        refuse_if_connected(is_anybody_there())
        before = audit()
        _refuse_faults(before)
        for move in plan.moves:
            move.store.rename(move.aside)
            prune_asides(move.store)
        for store in plan.made:
            prepare_held(held[store])
        after = audit()
        _compare(before, after)
    return dealt(plan, is_done=True, before=before, after=after)


def _hold(plan: DealPlan, stack: ExitStack) -> dict[Path, HeldStore]:
    """Lock every store that is or will be; raise StoreInUseError."""
    held: dict[Path, HeldStore] = {}
    for store in sorted({*(move.store for move in plan.moves), *plan.made}):
        held[store] = hold_store(store)
        stack.callback(held[store].release)
    return held


def _refuse_faults(receipt: Receipt) -> None:
    faults = {kind: n for kind, n in receipt.difference_counts.items() if kind not in UNDER_WAY}
    if "unread" not in receipt.difference_counts and "sum" in receipt.difference_counts:
        faults["sum"] = receipt.difference_counts["sum"]
    if faults:
        said = ", ".join(f"{n} {kind}" for kind, n in faults.items())
        raise DealRefusedError(
            f"the audit before found differences: {said}.",
            "`recovery audit` shows them. Mend them first: afterwards nobody could say where they came from.",
        )


def _compare(before: Receipt, after: Receipt) -> None:
    """Raise DealRefusedError when the log is not what it was."""
    try:
        _refuse_faults(after)
    except DealRefusedError as error:
        raise DealRefusedError(str(error).replace("before", "after", 1), error.remedy) from error
    heads = [[(s.shard, s.generation, s.head, s.chain) for s in r.shards] for r in (before, after)]
    moved = [one[0] for one, other in zip(*heads, strict=True) if one != other]
    if moved:
        raise DealRefusedError(
            f"the log of shards {moved} went on while they were dealt: a lane runs somewhere.",
            f"The new stores are in place and the log is sound. {_STOP}",
        )


def dealt(
    plan: DealPlan, *, is_done: bool, before: Receipt | None = None, after: Receipt | None = None
) -> Dealt:
    """What was done, or would be."""
    return Dealt(
        is_done=is_done,
        lanes_before=plan.before,
        lanes_after=plan.after,
        aside={str(move.store): str(move.aside) for move in plan.moves},
        pruned=[str(path) for move in plan.moves for path in move.pruned],
        stores={str(store): shards for store, shards in zip(plan.made, plan.shards, strict=True)},
        audit_before=before.difference_counts if before else {},
        audit_after=after.difference_counts if after else {},
    )
