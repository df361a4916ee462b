"""Read a record, or say why it is none: one rule for ingest, decode and audit.

Refuses what a later part would choke on (NUL, lone surrogates, over-long or
absurd values) and what JSON parsers read differently, so that whatever passes
here can be hashed, folded, stored as JSON and sent.
"""

import json
import re
from datetime import datetime

import msgspec

from schemas import letters
from schemas.raw import KIND_PATTERN, LANGUAGE_PATTERN, BroadcastEvent, RawEvent, SocialEvent
from schemas.record_form import MAX_RECORD_BYTES, RecordFormError, form_of

_FIRST_YEAR, _LAST_YEAR = 1970, 2199

_KIND = re.compile(KIND_PATTERN)
_LANGUAGE = re.compile(LANGUAGE_PATTERN)
_REMEMBERED_VALUES = 1_000  # far more types and languages than there are
_kinds_seen: set[str] = set()
_languages_seen: set[str] = set()

_decode = msgspec.json.Decoder(RawEvent).decode


class Rejection(msgspec.Struct, frozen=True, gc=False):
    """Why a value is no record."""

    reason: str  # one of schemas.letters.REASONS
    detail: str  # for people
    match: str | None = None


class ReadRecord(msgspec.Struct, frozen=True, gc=False):
    """A record: its fields as far as we know them, and all of it in its one form (schemas.record_form)."""

    event: RawEvent
    said: bytes
    record: bytes  # the same with our stamp behind it


def parse(value: bytes | None) -> RawEvent | Rejection:
    """The fields of a raw record that we know, or why it is none; never raises."""
    found = read(value)
    return found if isinstance(found, Rejection) else found.event


def read(value: bytes | None) -> ReadRecord | Rejection:
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
    if event.type not in _kinds_seen and (refusal := _unlike(event, "type", event.type, _KIND, _kinds_seen)):
        return refusal
    if type(event) is SocialEvent:
        spoken = event.body.language
        if spoken not in _languages_seen and (
            refusal := _unlike(event, "body.language", spoken, _LANGUAGE, _languages_seen)
        ):
            return refusal
    accepted = event.ingested_at
    if not (
        _FIRST_YEAR <= event.occurred_at.year <= _LAST_YEAR
        and (accepted is None or _FIRST_YEAR <= accepted.year <= _LAST_YEAR)
        and (type(event) is not BroadcastEvent or event.body.kick_off is None)
    ) and (outside := _out_of_range(event)):
        return outside
    try:
        said, record = form_of(value, event)
    except RecordFormError as error:
        return Rejection(error.reason, error.detail, event.match if event.match.isprintable() else None)
    return ReadRecord(event, said, record)


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
