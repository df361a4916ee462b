"""Who holds what: lanes by their stores, shards by the log."""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from recovery.lanes.holders import holder_of
from recovery.stores.finding import all_stores, stores_folder
from settings import Settings
from storage.lane_reads import Session, ShardOwner
from storage.recovery_store import read_store
from storage.store_errors import StoreError

_STORE = re.compile(r"enrich-(\d+)")
# Enough to tell two owners apart; whoever knows all of it could write.
_FENCE_SHOWN = 8


class LaneLine(msgspec.Struct, kw_only=True):
    """A lane as its store tells."""

    lane: str  # i/n
    shards: list[int]
    store: str
    state: Literal["running", "stopped", "no store"]
    pid: int | None = None  # None as well when it runs where its process cannot be seen
    resume_epoch: int | None = None
    problem: str = ""


class SessionLine(msgspec.Struct, kw_only=True):
    """A lane that is connected to the database to write."""

    lane: str
    address: str
    since: datetime


class ShardLine(msgspec.Struct, kw_only=True):
    """A shard as the log tells."""

    shard: int
    lane: str  # whose it is by the number of stores; empty without any
    generation: int | None
    fence: str
    position: int
    appended_at: datetime | None


class Lanes(msgspec.Struct, kw_only=True):
    """Everything about who writes."""

    lanes: list[LaneLine]
    sessions: list[SessionLine]
    shards: list[ShardLine]
    findings: list[str]


def shards_of(lane: int, lanes: int, shards: int) -> list[int]:
    """The deal: lane i of n takes the shards s with s % n == i."""
    return [shard for shard in range(shards) if shard % lanes == lane]


def lane_stores(settings: Settings) -> list[Path]:
    """Where each lane's store is or would be: as many lanes as the highest number found says."""
    numbers = [int(found[1]) for path in all_stores(settings) if (found := _STORE.fullmatch(path.name))]
    return [store_of(settings, lane) for lane in range(max(numbers, default=-1) + 1)]


def store_of(settings: Settings, lane: int) -> Path:
    return stores_folder(settings) / f"enrich-{lane}"


def look_at_lanes(settings: Settings, owners: Sequence[ShardOwner], sessions: Sequence[Session]) -> Lanes:
    """Put together what stores, locks and the log say."""
    stores = lane_stores(settings)
    lanes = [_lane(settings, number, len(stores), store) for number, store in enumerate(stores)]
    shards = [_shard(owner, len(stores)) for owner in owners]
    lines = [SessionLine(lane=s.lane, address=s.address, since=s.since) for s in sessions]
    return Lanes(lanes=lanes, sessions=lines, shards=shards, findings=_findings(lanes, lines))


def _lane(settings: Settings, number: int, count: int, store: Path) -> LaneLine:
    line = LaneLine(
        lane=f"{number}/{count}",
        shards=shards_of(number, count, settings.shards),
        store=str(store),
        state="no store",
    )
    holder = holder_of(store)
    if holder is not None:
        line.state, line.pid = "running", holder or None
    if store.is_dir():
        if holder is None:
            line.state = "stopped"
        try:
            line.resume_epoch = read_store(store).resume_epoch
        except StoreError as error:
            line.problem = error.reason
    return line


def _shard(owner: ShardOwner, lanes: int) -> ShardLine:
    return ShardLine(
        shard=owner.shard,
        lane=f"{owner.shard % lanes}/{lanes}" if lanes else "",
        generation=owner.generation,
        fence=owner.fence.hex[:_FENCE_SHOWN] if owner.fence else "",
        position=owner.position,
        appended_at=owner.appended_at,
    )


def _findings(lanes: Sequence[LaneLine], sessions: Sequence[SessionLine]) -> list[str]:
    """What does not fit together, a sentence each."""
    found = [f"lane {lane.lane}: {lane.problem}" for lane in lanes if lane.problem]
    found += [
        f"lane {lane.lane} has no store in {lane.store}, but higher ones have: was a deal cut short?"
        for lane in lanes
        if lane.state == "no store"
    ]
    named = [session.lane for session in sessions if session.lane]
    found += [
        f"lane {name} is connected {named.count(name)} times: all but one are fenced or will be"
        for name in sorted(set(named))
        if named.count(name) > 1
    ]
    counts = sorted({name.partition("/")[2] for name in named})
    if len(counts) > 1:
        found.append(f"lanes run as parts of {' and of '.join(counts)}: they take shards from each other")
    elif counts and lanes and counts != [str(len(lanes))]:
        found.append(
            f"lanes run as parts of {counts[0]}, but here are stores of {len(lanes)}:"
            f" `recovery lanes deal {counts[0]}`, while they stand, puts the others aside"
        )
    return found
