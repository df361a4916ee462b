"""What the log's rows and letters look like as Kafka records. Pure."""

from collections.abc import Callable, Sequence
from datetime import UTC

from schemas.outlets import (
    CHAIN,
    DETAIL,
    GENERATION,
    LETTER,
    LIVE_EVENTS,
    ORIGIN,
    POSITION,
    REASON,
    REJECTED_AT,
    dead_letter_topic,
    letter_copy,
)
from sinks.record_fit import KafkaRecord
from storage.relay_reads import Letter, LetterPlace, LogRun

_DETAIL_CHARACTERS = 1_000


def live_records(topic_prefix: str) -> Callable[[LogRun], list[KafkaRecord]]:
    """The step that makes records of `live-events`: partition = shard, key = match."""
    topic = topic_prefix + LIVE_EVENTS

    def to_records(run: LogRun) -> list[KafkaRecord]:
        shard = run.shard
        generation = (GENERATION, str(run.generation))
        return [
            KafkaRecord(
                topic,
                shard,
                row.match,
                row.payload,
                [generation, (POSITION, str(row.position)), (CHAIN, row.chain.hex())],
            )
            for row in run.rows
        ]

    return to_records


def letter_records(topic_prefix: str) -> Callable[[Sequence[Letter]], list[KafkaRecord]]:
    """The step that copies letters: same partition and key as the record that was rejected."""

    def to_records(letters: Sequence[Letter]) -> list[KafkaRecord]:
        return [_copy(topic_prefix, letter) for letter in letters]

    return to_records


def _copy(topic_prefix: str, letter: Letter) -> KafkaRecord:
    headers: list[tuple[str, str | bytes]] = [
        (LETTER, str(letter.letter)),
        (REASON, letter.reason),
        (DETAIL, letter.detail[:_DETAIL_CHARACTERS]),
        (ORIGIN, f"{letter.topic}/{letter.partition}/{letter.offset}"),
        (REJECTED_AT, letter.rejected_at.astimezone(UTC).isoformat()),
    ]
    return KafkaRecord(
        topic_prefix + dead_letter_topic(letter.topic),
        letter.partition,
        letter.key,
        letter.original,
        headers,
        may_be_cut=True,
    )


def letter_of(headers: dict[str, bytes]) -> LetterPlace | None:
    """The place of a copied letter; None when somebody else wrote the record."""
    found = letter_copy(headers)
    return LetterPlace(found.letter, found.rejected_at) if found else None
