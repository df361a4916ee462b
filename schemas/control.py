"""What people tell the lanes: control records, on the raw topic `derived-events`, keyed by their match.

They travel with the events and are obeyed in their place, so nothing has to
compete with the lane that writes a match. That topic is ours alone: no
source may write to it, and anywhere else such a record is a dead letter.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from schemas.raw import Id, Instant, Text

CONTROL_TOPIC = "derived-events"

Kind = Literal["park", "release"]
PARK: Kind = "park"
RELEASE: Kind = "release"


class ControlRecord(
    msgspec.Struct, frozen=True, gc=False, kw_only=True, tag_field="source", tag="control", omit_defaults=True
):
    """A word to the lane that writes a match."""

    type: Kind
    match: Id
    issued_at: Instant
    issued_by: Annotated[str, Meta(min_length=1, max_length=120)]
    because: Text = ""


_decode = msgspec.json.Decoder(ControlRecord).decode
_encode = msgspec.json.Encoder().encode


def encode_control(record: ControlRecord) -> bytes:
    """The value of its Kafka record."""
    return _encode(record)


def parse_control(value: bytes | None) -> ControlRecord | None:
    """Read a control record; None for anything else; never raises."""
    try:
        record = _decode(value or b"")
        texts = f"{record.match}{record.issued_by}{record.because}"
        texts.encode()
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return None if "\0" in texts else record
