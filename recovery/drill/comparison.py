"""Compare the restored log with the live one: one history up to the fork, the same events up to the cut."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from recovery.audit.kafka_reads import TopicCut
from recovery.audit.settle import number_lives
from recovery.drill.receipt import ShardResult
from settings import Settings
from storage.audit_reads import AuditReads
from storage.drill_reads import appended_at, keys_until, open_reader
from storage.relay_reads import RelayReads, ShardState


class Disaster(NamedTuple):
    """The live installation at the moment that is assumed to be its last."""

    at: datetime  # by the database's clock
    heads: dict[int, ShardState]
    cuts: list[TopicCut]


def states_of(dsn: str, positions: Mapping[int, int] | None = None) -> dict[int, ShardState]:
    """Each shard's log; `positions` asks for the chain at one place of each."""
    reads = RelayReads(dsn, "touchline-drill")
    try:
        return {state.shard: state for state in reads.states(positions or {})}
    finally:
        reads.close()


def disaster_now(live: Settings, cuts: Sequence[TopicCut]) -> Disaster:
    """Note what the live installation has by now."""
    heads = states_of(live.postgres)
    newest = max((state.now_ms for state in heads.values()), default=0)
    return Disaster(datetime.fromtimestamp(newest / 1000, UTC), heads, list(cuts))


def compare(
    live: Settings,
    beside: Settings,
    disaster: Disaster,
    restored: Mapping[int, ShardState],
    cluster_id: str,
) -> list[ShardResult]:
    """One line per shard; `restored` is the log after the replay, before any lane."""
    forks = {shard: state.head.position for shard, state in restored.items()}
    chains = states_of(live.postgres, forks)
    now = states_of(beside.postgres)
    live_ends = _ends(live.postgres, disaster.cuts, cluster_id)
    beside_ends = _ends(beside.postgres, disaster.cuts, cluster_id)
    results: list[ShardResult] = []
    with open_reader(live.postgres) as here, open_reader(beside.postgres) as there:
        for shard, head in disaster.heads.items():
            fork = forks.get(shard, 0)
            missing = max(0, head.head.position - fork)
            first = appended_at(here, shard, fork + 1) if missing else None
            kept = keys_until(here, shard, live_ends.get(shard, {}))
            found = keys_until(there, shard, beside_ends.get(shard, {}))
            at_fork = restored[shard].head.chain if shard in restored else b"\0" * 16
            results.append(
                ShardResult(
                    shard=shard,
                    live_head=head.head.position,
                    restored_head=fork,
                    missing=missing,
                    missing_seconds=round((disaster.at - first).total_seconds(), 3) if first else 0.0,
                    is_same_history=fork == 0 or chains[shard].chain_at == at_fork,
                    generation=now[shard].generation if shard in now else 0,
                    live_generation=head.generation,
                    keys=len(kept),
                    lost=len(kept - found),
                    extra=len(found - kept),
                )
            )
    return results


def _ends(dsn: str, cuts: Sequence[TopicCut], cluster_id: str) -> dict[int, dict[int, int]]:
    """Shard -> topic number of this database -> offset at which the cut ends."""
    with AuditReads(dsn) as log:
        numbers = number_lives(cuts, log.topics_now(), cluster_id)
    ends: dict[int, dict[int, int]] = {}
    for cut in cuts:
        for partition, (_, end) in cut.ranges.items():
            if cut.topic in numbers:
                ends.setdefault(partition, {})[numbers[cut.topic]] = end
    return ends
