"""The live event: what fans, apps and side flows get, and what a row of the log stores."""

import msgspec

from schemas.raw import Instant, RawEvent

# 2: `event` is the record in its one form, fields that we do not know included (schemas.record_form).
# 1: it was our Struct, encoded (schemas.legacy).
LIVE_VERSION = 2


class Score(msgspec.Struct, frozen=True, gc=False):
    """Goals of both sides, corrections applied."""

    home: int = 0
    away: int = 0


class LiveEvent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An event with its place in the match and what was true right after it.

    `event` is all that the source said, also in fields that no schema names, so
    that anyone can fold it again. `score` is the fold of the match's log up to
    and with `seq`.
    """

    v: int = LIVE_VERSION
    event_id: str  # event_key in hex, 32 characters
    seq: int
    appended_at: Instant
    score: Score
    minute: str  # as broadcasters write it: "18'", "45+2'"; empty before kick-off
    importance: int  # 0 (a reading) to 9 (a goal)
    language: str  # of its text; "und" when unknown
    event: RawEvent


class _Framed(msgspec.Struct, frozen=True, gc=False):
    """A LiveEvent whose record is encoded already: the same fields in the same order."""

    v: int
    event_id: str
    seq: int
    appended_at: Instant
    score: Score
    minute: str
    importance: int
    language: str
    event: msgspec.Raw


encode_live = msgspec.json.Encoder().encode
# Fields of the record that this code does not know are lost by it: what is passed on is the bytes.
decode_live = msgspec.json.Decoder(LiveEvent).decode
_decode_framed = msgspec.json.Decoder(_Framed).decode


def record_in(payload: bytes) -> bytes:
    """The record that a live event contains, byte for byte; raise msgspec.MsgspecError when it is none."""
    return bytes(_decode_framed(payload).event)


def encode_live_around(record: bytes, live: LiveEvent) -> bytes:
    """A live event around a record in its form; `live.event` is not looked at."""
    return encode_live(
        _Framed(
            live.v,
            live.event_id,
            live.seq,
            live.appended_at,
            live.score,
            live.minute,
            live.importance,
            live.language,
            msgspec.Raw(record),
        )
    )
