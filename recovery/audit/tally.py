"""Counts: per match for the table, per topic for the sum, per shard as proof."""

import msgspec

from recovery.audit.outlet_check import OutletTally
from schemas.live import Score


class MatchTally(msgspec.Struct, kw_only=True):
    """What was seen of one match."""

    match: str
    shard: int
    seq: int = 0
    score: Score = Score()
    status: str = ""
    records: int = 0  # in Kafka
    events: int = 0  # in Postgres
    repeats: int = 0
    dead_letters: int = 0
    images: int = 0
    folded_before: int = 0  # rows and images of an older fold: their scores and states are not compared
    streamed: int = 0  # in Redis
    differences: int = 0


class TopicTally(msgspec.Struct, kw_only=True):
    """Whether the records of a topic add up.

    `records` is counted in Kafka, `events` and `dead_letters` in Postgres,
    by origin; all but the last two are within the offsets compared.
    """

    topic: str
    topic_id: str
    records: int = 0
    events: int = 0
    repeats: int = 0
    dead_letters: int = 0
    retired: int = 0  # records of matches whose data was dropped
    parked: int = 0  # events that wait for their match to be released
    controls: int = 0  # records that told a lane something
    unread: int = 0
    unaccounted: int = 0
    events_beyond: int = 0  # rows whose origin retention removed, or that came after the cut
    letters_beyond: int = 0

    @property
    def accounted(self) -> int:
        settled = self.events + self.repeats + self.dead_letters + self.retired
        return settled + self.parked + self.controls

    @property
    def adds_up(self) -> bool:
        return self.records == self.accounted


class ShardProof(msgspec.Struct, kw_only=True):
    """Head and chain of a shard: the same pair in another place is the same log."""

    shard: int
    generation: int
    base_position: int
    head: int
    chain: str
    rows: int = 0
    stream: str = ""
    stream_first: int | None = None
    stream_top: int | None = None
    stream_packs: int = 0
    offsets: dict[str, tuple[int, int]] = {}  # topic -> first offset, end


class Tallies:
    """All counts of an audit."""

    def __init__(self) -> None:
        self.matches: dict[str, MatchTally] = {}
        self.topics: dict[str, TopicTally] = {}
        self.shards: list[ShardProof] = []
        self.outlets: dict[str, OutletTally] = {}
        self.nameless_records = 0  # of no match: what could not be read at all
        self.nameless_letters = 0

    def match(self, match: str, shard: int) -> MatchTally:
        tally = self.matches.get(match)
        if tally is None:
            tally = self.matches[match] = MatchTally(match=match, shard=shard)
        return tally
