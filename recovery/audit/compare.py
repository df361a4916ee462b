"""The comparison itself: a shard at a time, rows beside the stream, then the raw records."""

from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

from recovery.audit.findings import Findings
from recovery.audit.kafka_reads import TopicCut
from recovery.audit.ledger import Ledger
from recovery.audit.log_check import LogCheck
from recovery.audit.matches_check import check_matches
from recovery.audit.meter import Meter
from recovery.audit.outlets import Outlets, ShardOutlets
from recovery.audit.parked_check import Parking, check_controls
from recovery.audit.raw_check import KnownLetter, RawCheck, ShardRecords, check_origins, remember
from recovery.audit.refused_check import RefusedCheck
from recovery.audit.servers import CannotRunError, Servers
from recovery.audit.settle import number_lives
from recovery.audit.stream_check import PackDamagedError, StreamCheck, read_entry
from recovery.audit.tally import ShardProof, Tallies, TopicTally
from schemas.letters import RETIRED_MATCH
from schemas.outlets import outlet_topics
from schemas.partitioning import partition_of
from storage.audit_reads import ShardRow
from storage.streams import stream_name


class Scope(NamedTuple):
    """What is compared."""

    shards: int  # of the installation
    kept_at_least: int  # events in a stream
    only: str | None = None  # a match
    outlets: bool = False  # also what the relay copies to Kafka


class Comparison:
    """Kafka, Postgres and Redis as of one moment.

    `offsets`: (topic, partition) -> where the log reads on, taken before the
    log was frozen. Raises CannotRunError when a shard's log takes a new
    life under way.
    """

    def __init__(
        self,
        servers: Servers,
        scope: Scope,
        cuts: Sequence[TopicCut],
        offsets: Mapping[tuple[str, int], int],
        ledger: Ledger | None,
        findings: Findings,
        meter: Meter,
    ) -> None:
        self.tallies = Tallies()
        self._servers = servers
        self._scope = scope
        self._cuts = cuts
        self._offsets = offsets
        # The log is frozen by now: whatever it names as an origin lies before these.
        self._ends = servers.kafka.ends()
        self._ledger = ledger
        self._findings = findings
        self._meter = meter
        lives = servers.log.topics()
        self._numbers = number_lives(cuts, lives, servers.kafka.cluster_id())
        self._names = {life.number: life.name for life in lives}
        self._outlets: Outlets | None = None
        if scope.outlets:
            # Their ends, too, are read behind the frozen log: they have what it has, or lack it.
            cuts_of_outlets = servers.kafka.cut(outlet_topics())
            self._outlets = Outlets(servers.kafka, cuts_of_outlets, scope.kept_at_least, findings)
            self.tallies.outlets = self._outlets.tallies
        self._current = {self._numbers[cut.topic]: cut for cut in cuts if cut.topic in self._numbers}
        for cut in cuts:
            self.tallies.topics[cut.topic] = TopicTally(topic=cut.topic, topic_id=cut.topic_id)

    def run(self) -> None:
        """Compare every shard in scope, then what belongs to none."""
        shards = self._servers.log.shards(self._scope.shards)
        if self._scope.only is not None:
            home = partition_of(self._scope.only, self._scope.shards)
            shards = {home: shards[home]}
        rows = sum(shard.head - shard.base_position for shard in shards.values())
        ranges = [cut.ranges[shard] for cut in self._cuts for shard in shards]
        records = sum(end - first for first, end in ranges)
        self._meter.begin("comparing", rows + records)
        for shard in shards.values():
            self._compare(shard)
        self._check_partitions()
        for tally in self.tallies.topics.values():
            if not tally.adds_up:
                found = f"{tally.accounted} accounted for"
                self._findings.add("sum", tally.topic, f"{tally.records} records", found)
        if self._ledger is not None:
            self._ledger.finish(self._findings)

    def _check_partitions(self) -> None:
        """A lane reads the partitions of its shards; what producers put beyond them, nobody reads.

        Empty ones are no difference: Kafka cannot take them back, and lanes start beside them.
        """
        for name, partition, first, end in self._servers.kafka.beyond():
            if first == end:
                continue
            expected = f"no such partition: there are {self._scope.shards} shards"
            found = f"{end - first} records, which no lane reads"
            self._findings.add("partition", f"{name}[{partition}]", expected, found)

    def _compare(self, shard: ShardRow) -> None:
        key = stream_name(shard.shard, shard.generation)
        kept = self._scope.kept_at_least
        redriven = self._servers.log.redriven(shard.shard)
        log = LogCheck(
            shard,
            self._scope.shards,
            self._names,
            self._findings,
            self.tallies,
            redriven,
            RefusedCheck(shard.shard, self._servers.log.refused_by_fold(shard.shard), redriven),
        )
        outlets = self._outlets.of(shard) if self._outlets else None
        stream = StreamCheck(key, shard, self._servers.streams.entries(key), kept, self._findings)
        for rows, images in self._servers.log.row_chunks(shard.shard, shard.base_position):
            log.take(rows, images)
            for row in rows:
                if stream.take(row):
                    log.states[row.match].tally.streamed += 1
            if outlets is not None:
                outlets.remember(rows)
            self._meter.advance(len(rows))
        stream.finish()
        log.finish()
        seen = {match: state.seen for match, state in log.states.items()}
        entries = self._servers.log.matches(shard.shard)
        check_matches(shard, self._scope.shards, entries, seen, self._findings)
        self._check_top(shard, key)
        self._compare_records(shard.shard, shard.base_position > 0, log, outlets)
        if outlets is not None:
            outlets.compare()
        self._prove(shard, log, stream)

    def _compare_records(
        self, shard: int, has_dropped: bool, log: LogCheck, outlets: ShardOutlets | None
    ) -> None:
        """The raw records of a shard's partitions, and the ledger's of its matches."""
        reads = self._servers.log
        retired = reads.retired_matches(shard)
        controls = reads.controls(shard)
        check_controls(shard, controls, self._findings)
        parking = Parking(reads.parked(shard), controls, reads.parked_matches(shard))
        records = ShardRecords(
            shard,
            self._scope.shards,
            log.known,
            self._letters(shard, outlets, retired),
            # While nothing was dropped, whatever came of a retired match is there as a row or a letter.
            retired if has_dropped else set(),
            parking,
        )
        for cut in self._cuts:
            first, end = cut.ranges[shard]
            number, reads_on = self._numbers.get(cut.topic), self._offsets[cut.topic, shard]
            if reads_on < first:
                found = f"Kafka begins at {first}"
                self._findings.add(
                    "removed", f"{cut.name}[{shard}]@{reads_on}", "the log reads on here", found
                )
            check = RawCheck(records, cut, number, reads_on, self._findings, self.tallies)
            for batch in self._servers.kafka.records(cut.name, shard, first, end):
                check.take(batch)
                self._meter.advance(len(batch))
        ends = {number: self._ends[cut.topic, shard] for number, cut in self._current.items()}
        check_origins(records, self._current, ends, self._findings, self.tallies)
        if self._ledger is not None:
            self._ledger.check_shard(shard, log.known, parking.keys, log.states, self._findings)

    def _letters(
        self, shard: int, outlets: ShardOutlets | None, retired: Set[str]
    ) -> dict[tuple[int, int], KnownLetter]:
        found: dict[tuple[int, int], KnownLetter] = {}
        for row in self._servers.log.letters(shard):
            found[row.topic, row.source_offset] = remember(row)
            if self._ledger is not None:
                self._ledger.take_letter(row, self._names.get(row.topic, ""))
            if outlets is not None:
                outlets.remember_letter(self._names.get(row.topic, ""), row)
            self._count_letter(shard, row.topic, row.source_offset, row.match)
            if row.reason == RETIRED_MATCH and row.match not in retired:
                where = f"dead letter {row.letter}"
                self._findings.add("letter_reason", where, "a match that is retired", row.reason, row.match)
            if row.topic not in self._names:
                where = f"dead letter {row.letter}"
                self._findings.add("letter_topic", where, "a topic of the log", row.topic, row.match)
        return found

    def _count_letter(self, shard: int, number: int, offset: int, match: str | None) -> None:
        if match is None:
            self.tallies.nameless_letters += 1
        else:
            self.tallies.match(match, partition_of(match, self._scope.shards)).dead_letters += 1
        cut = self._current.get(number)
        if cut is None:
            return
        if cut.holds(shard, offset):
            self.tallies.topics[cut.topic].dead_letters += 1
        else:
            self.tallies.topics[cut.topic].letters_beyond += 1

    def _check_top(self, shard: ShardRow, key: str) -> None:
        """What a stream holds beyond the snapshot must be in the log as it is by now.

        Redis is asked first: its top may be behind the log, never ahead.
        """
        entry = self._servers.streams.top(key)
        generation, _, _ = self._servers.log.chain_now(shard.shard, shard.head)
        # 0: nobody had written the shard when the audit began, so no life of it ended.
        if shard.generation not in (0, generation):
            reason = f"shard {shard.shard} went from log life {shard.generation} to {generation} meanwhile"
            raise CannotRunError("PostgreSQL", reason, "Run the audit again.")
        if entry is None:
            return
        try:
            pack = read_entry(entry)
        except PackDamagedError:
            return  # told already
        if pack.last <= shard.head:
            return
        _, chain, head = self._servers.log.chain_now(shard.shard, pack.last)
        where = f"{key} position {pack.last}"
        if chain is None:
            self._findings.add("stream_top", where, f"at most position {head}", f"position {pack.last}")
        elif chain != pack.chain:
            self._findings.add("stream_chain", where, chain, pack.chain)

    def _prove(self, shard: ShardRow, log: LogCheck, stream: StreamCheck) -> None:
        self.tallies.shards.append(
            ShardProof(
                shard=shard.shard,
                generation=shard.generation,
                base_position=shard.base_position,
                head=shard.head,
                chain=shard.chain.hex(),
                rows=log.rows,
                stream=stream.key,
                stream_first=stream.first,
                stream_top=stream.top,
                stream_packs=stream.packs,
                offsets={cut.topic: cut.ranges[shard.shard] for cut in self._cuts},
            )
        )
