"""What the log's rows and letters look like as Kafka records. Pure."""

from collections.abc import Callable, Sequence

from sinks.kafka_outlet import LIVE_EVENTS, KafkaRecord, dead_letter_topic
from storage.relay_reads import Letter, LogRun, Place

GENERATION = "generation"
POSITION = "position"
CHAIN = "chain"
LETTER = "letter"
ORIGIN = "origin"
REASON = "reason"
DETAIL = "detail"
CUT = "cut"  # the full size, where the copy is shorter

# A raw record may fill its topic's limit of 1 MiB; the copy has headers on top.
COPIED_BYTES = 1_000_000
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
    ]
    if len(letter.original) > COPIED_BYTES:
        headers.append((CUT, str(len(letter.original))))
    return KafkaRecord(
        topic_prefix + dead_letter_topic(letter.topic),
        letter.partition,
        letter.key,
        letter.original[:COPIED_BYTES],
        headers,
    )


def place_of(headers: dict[str, bytes]) -> Place | None:
    """The place that a record of `live-events` carries; None when somebody else wrote it."""
    try:
        return Place(int(headers[POSITION]), bytes.fromhex(headers[CHAIN].decode()))
    except (KeyError, ValueError):
        return None


def letter_of(headers: dict[str, bytes]) -> tuple[int, int] | None:
    """Number and source offset of a copied letter; None when somebody else wrote the record."""
    try:
        return int(headers[LETTER]), int(headers[ORIGIN].rpartition(b"/")[2])
    except (KeyError, ValueError):
        return None
