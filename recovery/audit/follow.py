"""Audit without end: what became due since the last look, on every shard.

A row is due `late` after the log had it: by then it must be in the live
stream, with the log's bytes and the log's chain. Each row is compared once;
what a full audit adds (folds, images, raw records) is left to it.
"""

from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from recovery.audit.findings import Findings
from recovery.audit.servers import Servers
from recovery.audit.stream_check import PackDamagedError, StreamCheck, read_entry
from schemas.identity import next_chain
from storage.audit_reads import LogRow, ShardRow
from storage.streams import stream_name

_ROWS_AT_ONCE = 10_000


class _Place(NamedTuple):
    """How far a shard was compared, and the chain there."""

    generation: int
    position: int
    chain: bytes


class Look(NamedTuple):
    """What one look over all shards did."""

    rows: int
    findings: Findings
    undelivered: frozenset[int]  # shards whose stream ends before what is due


class Follower:
    """Compares the shards of an installation look by look; `clock` in seconds.

    The first look goes back by `rows_before` rows of each shard. Raises
    CannotRunError when a server goes away; the next Follower begins anew.
    """

    def __init__(
        self, servers: Servers, shards: int, rows_before: int, late: timedelta, clock: Callable[[], float]
    ) -> None:
        self._servers = servers
        self._shards = shards
        self._rows_before = rows_before
        self._late = late.total_seconds()
        self._clock = clock
        self._places: dict[int, _Place] = {}
        self._heads: dict[int, deque[tuple[float, int]]] = {}  # shard -> (seen at, head), oldest first

    def look(self, kept_per_kind: int = 10) -> Look:
        """Compare what became due since the last look."""
        findings = Findings(kept_per_kind)
        rows = 0
        undelivered: set[int] = set()
        for shard in self._servers.log.shards_now(self._shards).values():
            due = self._due(shard)
            place = self._place(shard, findings)
            rows += self._compare(shard, place, due, findings)
            if not self._check_top(shard, due, findings):
                undelivered.add(shard.shard)
        return Look(rows, findings, frozenset(undelivered))

    def _due(self, shard: ShardRow) -> int:
        """The position up to which delivery may be expected by now."""
        now = self._clock()
        heads = self._heads.setdefault(shard.shard, deque([(now, shard.head)]))
        heads.append((now, shard.head))
        while len(heads) > 1 and now - heads[1][0] >= self._late:
            heads.popleft()
        seen_at, head = heads[0]
        return min(head, shard.head) if now - seen_at >= self._late else shard.base_position

    def _place(self, shard: ShardRow, findings: Findings) -> _Place:
        """Where the comparison of a shard goes on: in another life of its log, near its end."""
        place = self._places.get(shard.shard)
        if place is not None and place.generation == shard.generation:
            chain = self._chain_at(shard, place.position)
            if chain == place.chain:
                return place
            where = f"shard {shard.shard} position {place.position}"
            findings.add("chain", where, place.chain, "no row" if chain is None else chain)
        position = max(shard.base_position, shard.head - self._rows_before)
        found = self._chain_at(shard, position)
        return _Place(shard.generation, position, shard.base_chain if found is None else found)

    def _chain_at(self, shard: ShardRow, position: int) -> bytes | None:
        if position == shard.base_position:
            return shard.base_chain
        return self._servers.log.chain_now(shard.shard, position)[1]

    def _compare(self, shard: ShardRow, place: _Place, due: int, findings: Findings) -> int:
        """Compare the rows behind a place, up to what is due; return how many."""
        compared = 0
        self._places[shard.shard] = place
        while place.position < due:
            rows = self._servers.log.rows_now(
                shard.shard, place.position, min(_ROWS_AT_ONCE, due - place.position)
            )
            if not rows:
                break  # the log lost them meanwhile: the next look names it
            key = stream_name(shard.shard, shard.generation)
            part = shard._replace(base_position=place.position, head=rows[-1].position)
            entries = self._servers.streams.entries(key, after=place.position)
            stream = StreamCheck(key, part, entries, len(rows), findings)
            chain = place.chain
            for expected, row in enumerate(rows, place.position + 1):
                chain = _check_row(shard.shard, expected, chain, row, findings)
                stream.take(row)
            stream.tell_hole()
            compared += len(rows)
            place = self._places[shard.shard] = _Place(shard.generation, rows[-1].position, rows[-1].chain)
        return compared

    def _check_top(self, shard: ShardRow, due: int, findings: Findings) -> bool:
        """Whether the stream ends at a row of the log, and holds what is due; a fork is a finding."""
        if shard.head == shard.base_position:
            return True
        key = stream_name(shard.shard, shard.generation)
        entry = self._servers.streams.top(key)
        if entry is None:
            return due <= shard.base_position
        try:
            pack = read_entry(entry)
        except PackDamagedError as error:
            findings.add("stream_pack", f"{key} entry {entry.id.decode('ascii', 'replace')}", "a pack", error)
            return True
        generation, chain, head = self._servers.log.chain_now(shard.shard, pack.last)
        if generation == shard.generation and pack.last > shard.base_position and chain != pack.chain:
            kind = "stream_top" if chain is None else "stream_chain"
            expected = f"at most position {head}" if chain is None else chain
            findings.add(kind, f"{key} position {pack.last}", expected, pack.chain)
        return pack.last >= due


def _check_row(shard: int, expected: int, chain: bytes, row: LogRow, findings: Findings) -> bytes:
    where = f"shard {shard} position {row.position} ({row.match} seq {row.seq})"
    if row.position != expected:
        findings.add("position", where, expected, row.position, row.match)
    following = next_chain(chain, row.event_key, row.body_hash)
    if following != row.chain:
        findings.add("chain", where, following, row.chain, row.match)
    return row.chain
