"""The outlets of an audit, shard by shard: what the log says first, then what Kafka has of it."""

from collections.abc import Iterable, Mapping, Sequence

from recovery.audit.findings import Findings
from recovery.audit.kafka_reads import KafkaReads, TopicCut
from recovery.audit.outlet_check import LettersCheck, LiveEventsCheck, OutletTally
from schemas.outlets import LIVE_EVENTS, dead_letter_topic
from schemas.raw import RAW_TOPICS
from storage.audit_reads import LetterRow, LogRow, ShardRow


class Outlets:
    """Makes the checks of each shard; `cuts` are of `schemas.outlets.outlet_topics`."""

    def __init__(
        self, kafka: KafkaReads, cuts: Sequence[TopicCut], kept_at_least: int, findings: Findings
    ) -> None:
        self._kafka = kafka
        self._cuts = {cut.topic: cut for cut in cuts}
        self._kept_at_least = kept_at_least
        self._findings = findings
        self.tallies = {cut.topic: OutletTally(topic=cut.topic) for cut in cuts}

    def of(self, shard: ShardRow) -> "ShardOutlets":
        tally = self.tallies[LIVE_EVENTS]
        live = LiveEventsCheck(shard, self._kept_at_least, tally, self._findings)
        letters = {
            topic: LettersCheck(topic, shard.shard, self.tallies[dead_letter_topic(topic)], self._findings)
            for topic in RAW_TOPICS
        }
        return ShardOutlets(self._kafka, self._cuts, shard.shard, live, letters)


class ShardOutlets:
    """What Kafka must have of one shard."""

    def __init__(
        self,
        kafka: KafkaReads,
        cuts: Mapping[str, TopicCut],
        shard: int,
        live: LiveEventsCheck,
        letters: Mapping[str, LettersCheck],
    ) -> None:
        self._kafka = kafka
        self._cuts = cuts
        self._shard = shard
        self._live = live
        self._letters = letters

    def remember(self, rows: Iterable[LogRow]) -> None:
        """Rows of the log."""
        self._live.remember(rows)

    def remember_letter(self, topic: str, row: LetterRow) -> None:
        """A dead letter; of a topic that is no longer read, nothing is copied."""
        if topic in self._letters:
            self._letters[topic].remember(row)

    def compare(self) -> None:
        """Read the partitions, and tell what differs; once all is remembered."""
        self._compare(LIVE_EVENTS, self._live)
        for topic, check in self._letters.items():
            self._compare(dead_letter_topic(topic), check)

    def _compare(self, topic: str, check: LiveEventsCheck | LettersCheck) -> None:
        cut = self._cuts[topic]
        first, end = cut.ranges[self._shard]
        for batch in self._kafka.outlet_records(cut.name, self._shard, first, end):
            check.take(batch)
        check.finish(is_trimmed=first > 0)
