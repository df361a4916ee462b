"""Rows that were written while live events had `v` 1: their hash knew only the fields that were known then.

A row keeps its hash for ever, so whoever compares a record with the log asks
here as well. The Structs are those of that time without their checks, and
must never change. Once no log holds such a row, this module can go.
"""

from datetime import datetime
from hashlib import blake2b

import msgspec

from schemas.identity import event_key

LEGACY_VERSION = 1

_HASH_BYTES = 8
_OURS = b',"ingested_at":'


class _Body(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """Fields that are not said are not written."""


class _SensorBody(_Body, frozen=True):
    sensor: str = ""
    player: str = ""
    x: float | None = None
    y: float | None = None
    speed: float | None = None
    heart_rate: int | None = None
    value: float | None = None


class _BroadcastBody(_Body, frozen=True):
    side: str | None = None
    period: int | None = None
    clock: int | None = None
    player: str = ""
    other_player: str = ""
    outcome: str = ""
    reason: str = ""
    x: float | None = None
    y: float | None = None
    text: str = ""
    home: str = ""
    away: str = ""
    competition: str = ""
    kick_off: datetime | None = None


class _SocialBody(_Body, frozen=True):
    author: str = ""
    text: str = ""
    language: str = ""


class _DerivedBody(_Body, frozen=True):
    of: str
    of_revision: int
    series: str
    text: str = ""
    values: dict[str, float] = {}


class _Raw(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag_field="source"):
    match: str
    source_event_id: str
    revision: int = 0
    action: str = "add"
    type: str
    occurred_at: datetime
    insert_before: str | None = None
    ingested_at: datetime | None = None


class _SensorEvent(_Raw, frozen=True, tag="sensors"):
    body: _SensorBody = _SensorBody()


class _BroadcastEvent(_Raw, frozen=True, tag="broadcast"):
    body: _BroadcastBody = _BroadcastBody()


class _SocialEvent(_Raw, frozen=True, tag="social"):
    body: _SocialBody = _SocialBody()


class _DerivedRecord(_Raw, frozen=True, tag="derived"):
    body: _DerivedBody


_decode = msgspec.json.Decoder(_SensorEvent | _BroadcastEvent | _SocialEvent | _DerivedRecord).decode
_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="deterministic").encode


def legacy_record_hash(record: bytes) -> bytes:
    """The hash of a row, from the record that its payload holds."""
    return blake2b(record[: record.rindex(_OURS)], digest_size=_HASH_BYTES).digest()


def is_same_body(stored: bytes, body_hash: bytes, value: bytes | None) -> bool:
    """Whether a row with the hash `stored` is of this record, which has `body_hash` today."""
    if stored == body_hash:
        return True
    event = _read(value)
    return event is not None and stored == _hash(event)


def legacy_identity(value: bytes | None) -> tuple[bytes, str, bytes, str] | None:
    """Key, match, hash and source of a record that was one then, of what today may be refused."""
    event = _read(value)
    if event is None:
        return None
    source = str(event.__struct_config__.tag)
    key = event_key(event.match, source, event.source_event_id, event.revision)
    return key, event.match, _hash(event), source


def _read(value: bytes | None) -> _Raw | None:
    try:
        event: _Raw = _decode(value or b"")
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return event


def _hash(event: _Raw) -> bytes:
    return legacy_record_hash((_encode_sorted if type(event) is _DerivedRecord else _encode)(event))
