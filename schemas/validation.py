"""Read a record, or say why it is none: one rule for ingest, decode and audit.

Refuses what a later part would choke on (NUL, lone surrogates, over-long or
absurd values), so that whatever passes here can be hashed, folded, stored
as JSON and sent.
"""

import json
import re
from datetime import datetime

import msgspec

from schemas import letters
from schemas.raw import KIND_PATTERN, LANGUAGE_PATTERN, BroadcastEvent, RawEvent, SocialEvent

# Far above any real record (a post of 4,000 characters is 16 KB at most).
MAX_RECORD_BYTES = 64 * 1024
_FIRST_YEAR, _LAST_YEAR = 1970, 2199
_BACKSLASH = ord("\\")  # looked for first: a single byte is found twelve times faster than two

_KIND = re.compile(KIND_PATTERN)
_LANGUAGE = re.compile(LANGUAGE_PATTERN)
_REMEMBERED_VALUES = 1_000  # far more types and languages than there are
_kinds_seen: set[str] = set()
_languages_seen: set[str] = set()

_decode = msgspec.json.Decoder(RawEvent).decode
_encode = msgspec.json.Encoder().encode
# An odd number of backslashes before u0000: the escape, not its description.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class Rejection(msgspec.Struct, frozen=True, gc=False):
    """Why a value is no record."""

    reason: str  # one of schemas.letters.REASONS
    detail: str  # for people
    match: str | None = None


def parse(value: bytes | None) -> RawEvent | Rejection:
    """Decode and check the value of a raw record; never raises."""
    if not value:
        return Rejection(letters.EMPTY, "the record has no value")
    if len(value) > MAX_RECORD_BYTES:
        return Rejection(letters.OVERSIZED, f"{len(value)} bytes; at most {MAX_RECORD_BYTES} are taken")
    try:
        event: RawEvent = _decode(value)
    except msgspec.ValidationError as error:
        return Rejection(letters.INVALID_RECORD, str(error))
    except msgspec.DecodeError as error:
        return _no_json(value, str(error))
    except RecursionError:
        return Rejection(letters.TOO_DEEP, "nested deeper than a record can be")
    except UnicodeDecodeError as error:
        return Rejection(letters.INVALID_UTF8, str(error))
    # Only an escape can smuggle in NUL or half a surrogate pair.
    if _BACKSLASH in value and b"\\u" in value and (reason := _forbidden(event)):
        match = event.match if event.match.isprintable() else None
        return Rejection(letters.FORBIDDEN_CHARACTER, reason, match)
    if event.type not in _kinds_seen and (refusal := _unlike(event, "type", event.type, _KIND, _kinds_seen)):
        return refusal
    if type(event) is SocialEvent:
        spoken = event.body.language
        if spoken not in _languages_seen and (
            refusal := _unlike(event, "body.language", spoken, _LANGUAGE, _languages_seen)
        ):
            return refusal
    accepted = event.ingested_at
    if (
        _FIRST_YEAR <= event.occurred_at.year <= _LAST_YEAR
        and (accepted is None or _FIRST_YEAR <= accepted.year <= _LAST_YEAR)
        and (type(event) is not BroadcastEvent or event.body.kick_off is None)
    ):
        return event
    return _out_of_range(event) or event


def _unlike(
    event: RawEvent, field: str, value: str, pattern: re.Pattern[str], seen: set[str]
) -> Rejection | None:
    """Refuse a value that does not match; remember one that does."""
    if pattern.fullmatch(value) is None:
        detail = f"Expected `str` matching regex {pattern.pattern!r} - at `$.{field}`"
        return Rejection(letters.INVALID_RECORD, detail, event.match)
    if len(seen) >= _REMEMBERED_VALUES:
        seen.clear()
    seen.add(value)
    return None


def _no_json(value: bytes, detail: str) -> Rejection:
    try:
        json.loads(value.decode(), parse_constant=_refused)
    except UnicodeDecodeError as error:
        return Rejection(letters.INVALID_UTF8, str(error))
    except (ValueError, RecursionError):
        return Rejection(letters.MALFORMED_JSON, detail)
    # The grammar allows half a surrogate pair, and only that is refused beyond it.
    return Rejection(letters.FORBIDDEN_CHARACTER, "a lone surrogate in a text")


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


def _forbidden(event: RawEvent) -> str:
    try:
        encoded = _encode(event)
        encoded.decode()
    except (UnicodeError, msgspec.MsgspecError):
        return "a lone surrogate in a text"
    return "NUL in a text" if _NUL.search(encoded) else ""


def _out_of_range(event: RawEvent) -> Rejection | None:
    if not _FIRST_YEAR <= event.occurred_at.year <= _LAST_YEAR:
        return _outside(event, "occurred_at", event.occurred_at)
    if event.ingested_at is not None and not _FIRST_YEAR <= event.ingested_at.year <= _LAST_YEAR:
        return _outside(event, "ingested_at", event.ingested_at)
    if type(event) is BroadcastEvent:
        kick_off = event.body.kick_off
        if kick_off is not None and not _FIRST_YEAR <= kick_off.year <= _LAST_YEAR:
            return _outside(event, "body.kick_off", kick_off)
    return None


def _outside(event: RawEvent, field: str, value: datetime) -> Rejection:
    detail = f"{value.isoformat()} is outside {_FIRST_YEAR}..{_LAST_YEAR} - at `$.{field}`"
    return Rejection(letters.INVALID_RECORD, detail, event.match)
