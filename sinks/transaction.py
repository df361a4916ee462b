"""What one transaction of the event log consists of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.batch import Entry, Event, EventBatch, offset_of
from sinks.live_streams import Delivery
from sinks.outages import LetterRefusedError
from sinks.prepared import Prepared
from sinks.shard_log import ShardLog, letter_of
from storage.append import Expectation
from storage.copy_rows import (
    COPY_CHECKPOINTS,
    COPY_CONTROLS,
    COPY_EVENTS,
    COPY_IMAGES,
    COPY_LETTERS,
    COPY_MATCHES,
    COPY_PARKED,
    COPY_TOKENS,
    Checkpoint,
    TokenRow,
    checkpoint_rows,
    control_rows,
    image_rows,
    letter_rows,
    match_rows,
    parked_rows,
    token_rows,
)
from storage.simple_query import CopyIn


@dataclass(slots=True, eq=False)
class Work:
    """Batches of one shard on their way into the log; `prepared` is None while nobody folded them.

    The batches stay until the commit, so that a failure folds them again.
    """

    log: ShardLog
    batches: Sequence[EventBatch]
    prepared: Prepared | None

    @property
    def size(self) -> int:
        return sum(len(batch.entries) for batch in self.batches)

    def split(self) -> tuple["Work", "Work"]:
        """Two halves, in order; of a single entry, the second half is empty."""
        entries = [(batch, entry) for batch in self.batches for entry in batch.entries]
        middle = max(1, len(entries) // 2)
        return self._part(entries[:middle]), self._part(entries[middle:])

    def _part(self, entries: Sequence[tuple[EventBatch, Entry]]) -> "Work":
        batches: list[EventBatch] = []
        for batch, entry in entries:
            following = offset_of(entry) + 1
            if batches and batches[-1].topic == batch.topic:
                batches[-1].entries.append(entry)
                batches[-1] = batches[-1]._replace(next_offset=following)
            else:
                batches.append(EventBatch(batch.topic, batch.partition, [entry], following))
        return Work(self.log, batches, None)

    def refused(self, reason: str, detail: str) -> "Work":
        """The same single entry as a dead letter."""
        batch = self.batches[0]
        entry = batch.entries[0]
        if not isinstance(entry, Event):
            raise LetterRefusedError(detail)
        letter = letter_of(batch, entry, reason, detail)
        return Work(self.log, [batch._replace(entries=[letter])], None)


def expectations(works: Sequence[Work]) -> list[Expectation]:
    """What must be true of each shard: my fence, and the head that its first piece was folded onto."""
    expected: dict[int, Expectation] = {}
    for work in works:
        log = work.log
        if log.shard not in expected:
            head = work.prepared.prev_position if work.prepared else log.position
            expected[log.shard] = Expectation(log.shard, log.owned.fence, head)
    return list(expected.values())


def copies_of(pieces: Sequence[Prepared], checkpoints: Sequence[Checkpoint], now: datetime) -> list[CopyIn]:
    """The COPY statements that store these pieces; empty ones are left out."""
    tokens = [TokenRow(p.shard, *p.token) for p in pieces if p.token is not None]
    copies = [
        CopyIn(COPY_MATCHES, match_rows([m for p in pieces for m in p.matches])),
        CopyIn(COPY_EVENTS, b"".join([row for p in pieces for row in p.rows])),
        CopyIn(COPY_LETTERS, letter_rows([letter for p in pieces for letter in p.letters], now)),
        CopyIn(COPY_PARKED, parked_rows([row for p in pieces for row in p.parked], now)),
        CopyIn(COPY_CONTROLS, control_rows([row for p in pieces for row in p.controls], now)),
        CopyIn(COPY_TOKENS, token_rows(tokens)),
        CopyIn(COPY_IMAGES, image_rows([i for p in pieces for i in p.images], now)),
        CopyIn(COPY_CHECKPOINTS, checkpoint_rows(checkpoints, now)),
    ]
    return [copy for copy in copies if copy.rows]


def deliveries_of(log: ShardLog, pieces: Sequence[Prepared]) -> list[Delivery]:
    """The committed rows of one shard as runs for its stream."""
    return [
        Delivery(
            log.shard,
            log.owned.generation,
            piece.prev_position,
            piece.prev_chain,
            piece.position,
            piece.chain,
            piece.payloads,
            piece.chains,
        )
        for piece in pieces
        if piece.rows
    ]
