"""The records that the relay writes to Kafka: their topics, and what their headers say."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from schemas.identity import CHAIN_BYTES
from schemas.log_position import LogPosition
from schemas.raw import RAW_TOPICS

LIVE_EVENTS = "live-events"

# `live-events`: where the event is in the log.
GENERATION = "generation"
POSITION = "position"
CHAIN = "chain"

# `<topic>-dlq`: which dead letter it is.
LETTER = "letter"
ORIGIN = "origin"
REASON = "reason"
DETAIL = "detail"
REJECTED_AT = "rejected_at"  # ISO 8601 with its zone, to the microsecond

# Of a copy that is shorter than what it copies.
CUT = "cut"  # the full size of the value
CUT_KEY = "cut_key"  # the full size of the key
STUB = "stub"  # why there is nothing but the headers

# A value is cut to a whole number of these, so that a reader who has the full one can check the
# beginning without keeping all of it.
CUT_STEP = 4_000
# What a topic takes at least where it does not say: Kafka's default is 1 MiB.
COPIED_BYTES = 1_000_000

# What a browser counts exactly; a generation is a time in milliseconds. The relay begins generations
# above the last record's, so a number made up by somebody else must not get that far.
_NUMBERS_END = 2**53
# Of a letter: PostgreSQL is asked for it, and refuses the whole query for a number that is none of its own.
_LETTERS_END = 2**63

Headers = Mapping[str, bytes]


class LetterCopy(NamedTuple):
    """Which dead letter a record is a copy of."""

    letter: int
    topic: str
    partition: int
    offset: int
    reason: str
    rejected_at: datetime


def dead_letter_topic(raw_topic: str) -> str:
    """Where the dead letters of a raw topic are copied to."""
    return f"{raw_topic}-dlq"


def outlet_topics() -> Sequence[str]:
    """Every topic that the relay fills."""
    return (LIVE_EVENTS, *(dead_letter_topic(topic) for topic in RAW_TOPICS))


def live_place(headers: Headers) -> LogPosition | None:
    """The place that a record of `live-events` carries; None when somebody else wrote it."""
    try:
        chain = bytes.fromhex(headers[CHAIN].decode())
        found = LogPosition(int(headers[GENERATION]), int(headers[POSITION]), chain)
    except (KeyError, ValueError):
        return None
    numbers = found.generation, found.position
    is_ours = min(numbers) >= 0 and max(numbers) < _NUMBERS_END and len(chain) == CHAIN_BYTES
    return found if is_ours else None


def letter_copy(headers: Headers) -> LetterCopy | None:
    """The letter that a record of a `<topic>-dlq` copies; None when somebody else wrote it."""
    try:
        topic, partition, offset = headers[ORIGIN].decode().split("/")
        found = LetterCopy(
            int(headers[LETTER]),
            topic,
            int(partition),
            int(offset),
            headers[REASON].decode(),
            datetime.fromisoformat(headers[REJECTED_AT].decode()),
        )
    except (KeyError, ValueError):
        return None
    is_ours = 0 < found.letter < _LETTERS_END and found.rejected_at.tzinfo is not None
    return found if is_ours else None
