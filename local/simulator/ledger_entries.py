"""What a line of the ledger says."""

from datetime import datetime
from typing import Annotated

import msgspec

from schemas.live import Score


class Start(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="start"):
    """The first line: what the run is made from. The same again gives the same run."""

    begins_at: datetime
    seed: int
    matches: int
    seconds: float
    rate: float
    rates: dict[str, float]


class Record(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="record"):
    """A good record was taken: it must be one event."""

    match: str
    source: str
    source_event_id: str
    revision: int


class Conflict(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="conflict"):
    """A record of a known identity with another body was taken: it must be a dead letter."""

    match: str
    source: str
    source_event_id: str
    revision: int


class Malformed(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="malformed"):
    """A feed sent bytes that are no record: they must be a dead letter."""

    source: str
    original: Annotated[bytes, "base64 in JSON"] = msgspec.field(name="original_b64")


class Refused(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="refused"):
    """A push was told that these bytes are no record: nothing of them may be visible."""

    source: str
    reason: str
    original: Annotated[bytes, "base64 in JSON"] = msgspec.field(name="original_b64")


class Final(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="final"):
    """All of a match was taken: this must be its score, made by these goals."""

    match: str
    score: Score
    goals: tuple[str, ...]


class Day(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="day"):
    """All of a match day was taken; days count from 0."""

    day: int


class End(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="end"):
    """All of the run was taken: how many entries of each kind there are above."""

    records: int
    conflicts: int
    malformed: int
    refused: int
    matches: int


Entry = Start | Record | Conflict | Malformed | Refused | Final | Day | End
Sent = Record | Conflict | Malformed | Refused  # what one send leads to
