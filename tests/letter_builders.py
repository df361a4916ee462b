"""Dead letters to build tests from: complete, a test says only what matters to it."""

from datetime import UTC, datetime

from storage.dead_letters import OPEN, Letter
from tests.event_builders import MATCH

_REJECTED = datetime(2024, 3, 16, 20, 0, tzinfo=UTC)


def a_letter(
    original: bytes,
    *,
    letter: int = 1,
    topic: str = "broadcast-events",
    partition: int = 0,
    corrected: bytes | None = None,
) -> Letter:
    """A letter as the desk reads it."""
    return Letter(
        letter,
        "malformed_json",
        "what is wrong",
        None,
        topic,
        partition,
        12,
        _REJECTED,
        OPEN,
        MATCH.encode(),
        original,
        corrected,
    )
