"""What the audit found: differences, by kind, the first of each kept."""

import msgspec

# Kind -> what it means, for people and for whoever reads a receipt later.
KINDS = {
    "unread": "the log has not read this raw record yet",
    "removed": "raw records left Kafka before the log had read them",
    "unaccounted": "a raw record is no event, no repeat of one, no dead letter and not parked",
    "accounted_twice": "a raw record is an event and a dead letter",
    "origin": "what the log names as an event's origin is not that record in Kafka",
    "letter_origin": "what a dead letter names as its origin is not that record in Kafka",
    "letter_reason": "a dead letter's reason does not fit its record",
    "letter_fold": "the fold takes a record that it is said to have refused",
    "letter_topic": "a dead letter comes from a topic that the log does not know",
    "parked": "a parked event or an obeyed control is not its record in Kafka, or not as a lane leaves it",
    "sum": "records of a topic are not the sum of its events, repeats, dead letters, parked and controls",
    "partition": "a raw topic has records in a partition that no lane reads",
    "history": "the log lost what an audit before has seen, and its generation did not rise",
    "match": "the table of matches does not agree with the events",
    "shard": "a match is in the log of another shard",
    "position": "positions have a hole or a repetition",
    "seq": "the seqs of a match have a hole or a repetition",
    "chain": "the chain does not follow from the row before",
    "key_twice": "one identity is there twice",
    "order": "a later position has an earlier offset of the same match and topic",
    "appended_at": "a shard's clock runs backwards",
    "fold_version": "written by a fold that this audit does not know",
    "identity": "a row's key or body hash is not that of its payload",
    "payload": "a payload does not agree with its row",
    "score": "a running score is not the fold of what came before",
    "fold": "a row cannot be folded",
    "image": "a saved image is not the fold of the log at its seq",
    "stream_start": "a stream begins later than its retention allows",
    "stream_hole": "a stream lacks events that the log has",
    "stream_pack": "a stream entry is damaged or overlaps its neighbour",
    "stream_bytes": "an event in the stream differs from the log, byte for byte",
    "stream_chain": "a stream entry's chain is not the log's at that position",
    "stream_top": "a stream goes on where the log does not",
    "ledger_event": "a record that was sent is no event",
    "ledger_letter": "a record that was sent to be refused is no dead letter",
    "ledger_refused": "what its sender was told is refused is visible",
    "ledger_extra": "an event that was never sent",
    "ledger_final": "a match ended otherwise than sent",
    "outlet_hole": "Kafka's copy lacks events or dead letters that the log has",
    "outlet_order": "events or dead letters came to Kafka behind later ones",
    "outlet_bytes": "a record of Kafka's copy is not what the log has at its place",
    "outlet_record": "a record of Kafka's copy does not say which event or dead letter it is",
    "ledger_count": "the ledger does not hold as many lines as it says",
}


class Difference(msgspec.Struct, frozen=True, gc=False):
    """One difference: what, where, and what should be there."""

    what: str  # a kind
    where: str
    expected: str
    found: str
    match: str | None = None


class Findings:
    """Counts differences, keeps the first ones of each kind, per match and in all.

    With `only`, differences of other matches are left out; those that belong
    to no match stay.
    """

    def __init__(self, kept_per_kind: int, only: str | None = None) -> None:
        self._kept_per_kind = kept_per_kind
        self._only = only
        self._kept: dict[str, list[Difference]] = {}
        self.counts: dict[str, int] = {}
        self.by_match: dict[str, int] = {}

    def add(self, what: str, where: str, expected: object, found: object, match: str | None = None) -> None:
        """Record a difference; `what` is one of KINDS."""
        if self._only is not None and match is not None and match != self._only:
            return
        count = self.counts.get(what, 0)
        self.counts[what] = count + 1
        if match is not None:
            self.by_match[match] = self.by_match.get(match, 0) + 1
        if count < self._kept_per_kind:
            shown = Difference(what, where, _shown(expected), _shown(found), match)
            self._kept.setdefault(what, []).append(shown)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def first(self) -> list[Difference]:
        """The kept differences, kind by kind in the order of KINDS."""
        return [difference for kind in KINDS for difference in self._kept.get(kind, ())]


_LONGEST = 300


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        text = value.hex() if len(value) <= 16 else value.decode("utf-8", "backslashreplace")
    else:
        text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"
