"""The live event: what fans, apps and side flows get, and what a row of the log stores."""

import msgspec

from schemas.raw import Instant, RawEvent

LIVE_VERSION = 1


class Score(msgspec.Struct, frozen=True, gc=False):
    """Goals of both sides, corrections applied."""

    home: int = 0
    away: int = 0


class LiveEvent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An event with its place in the match and what was true right after it.

    `event` is what the source said, field by field, so that anyone can fold
    it again. `score` is the fold of the match's log up to and with `seq`.
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
decode_live = msgspec.json.Decoder(LiveEvent).decode


def encode_live_around(record: bytes, live: LiveEvent) -> bytes:
    """`encode_live` for a record that was encoded before (schemas.identity.encode_record)."""
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
