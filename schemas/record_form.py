"""The one form of a record: what is hashed, stored and sent, however its sender wrote it.

It is JSON with all that the source said, fields that no Struct of ours knows
included: members sorted by name, no spaces, each number and text in one
spelling, members that are null left out, `revision`, `action` and `body` filled
in. Two records have the same form exactly if they are the same JSON value, so
neither the order of members nor a release of this code makes another record of
one. The form is part of every stored hash: changing it is a migration of every
log, and tests/unit/schemas/test_record_form.py holds it still.

Refused is what JSON parsers read differently: names given twice, integers and
floats that a double cannot hold, NUL, half surrogate pairs, deep nesting.
"""

import json
import math
import re
from datetime import datetime
from typing import Any

import msgspec
import orjson

from schemas import letters
from schemas.raw import RawEvent

# Far above any real record (a post of 4,000 characters is 16 KB at most).
MAX_RECORD_BYTES = 64 * 1024
# Kept free for our stamp: what ingest has confirmed must not be too large behind it.
STAMP_BYTES = len(',"ingested_at":"2026-01-01T00:00:00.000000+00:00"')
# Ours are 3 deep. JSON parsers give up between 250 and 1,000, or not at all.
MAX_DEPTH = 32
# 2**53 - 1: the largest integer that every JSON parser reads exactly.
MAX_INTEGER = 9_007_199_254_740_991

_FORM = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER | orjson.OPT_UTC_Z
_OURS = b',"ingested_at":'
_STAMP = re.compile(rb',"ingested_at":"[^"\\]*"}')
_BACKSLASH = ord("\\")  # looked for first: a single byte is found twelve times faster than two
_BRACKET = ord("[")
# An odd number of backslashes before u0000: the escape, not its description.
_NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
# A member that is null, or a text that looks like one.
_NULL_MEMBER = re.compile(rb'":n')
_DOUBLED, _HUGE = object(), object()


class RecordFormError(ValueError):
    """A record has no form that every JSON parser reads alike; `reason` is one of schemas.letters."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def form_of(value: bytes, event: RawEvent) -> tuple[bytes, bytes]:
    """The form of a record that was decoded to `event`: what was said, and the same with our stamp behind it.

    Raises RecordFormError. Bytes that are in this form already, as ingest
    writes them, are proved by being equal to it. Others are proved by being
    equal to what a serializer makes of them, spaces apart, and only the rest is
    read once more by a parser that sees doubled names. The three take 3, 5 and 15
    us.
    """
    try:
        members = _loads(value)
        members.pop("ingested_at", None)
        # Identity and place, in the spelling that every release of ours gives them.
        members["occurred_at"] = event.occurred_at
        members.setdefault("revision", 0)
        members.setdefault("action", "add")
        members.setdefault("body", {})
        if "insert_before" in members and members["insert_before"] is None:
            del members["insert_before"]  # the null that many write: it alone needs no walk
        said = orjson.dumps(members, None, _FORM)
        if _NULL_MEMBER.search(said):
            said = orjson.dumps(_without_nulls(members), None, _FORM)
    # UnicodeError is a ValueError; TypeError is orjson's for an integer that is too large.
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise _refusal(value, str(error)) from error
    record = stamped(said, event.ingested_at)
    if record != value:
        _must_read_alike(value)
    if _BACKSLASH in said and b"\\u0000" in said and _NUL_ESCAPE.search(said):
        raise _refusal(value, "NUL in a text")
    if said.count(b"{") + (said.count(b"[") if _BRACKET in said else 0) > MAX_DEPTH:
        _must_read_strictly(value)
    if len(said) > MAX_RECORD_BYTES - STAMP_BYTES:
        most = MAX_RECORD_BYTES - STAMP_BYTES
        detail = f"{len(said)} bytes in its one form and without our stamp; at most {most} are taken"
        raise RecordFormError(letters.OVERSIZED, detail)
    return said, value if record == value else record


def form_of_ours(event: RawEvent) -> bytes:
    """The form of a record that a mapper of a vendor's format made here."""
    return form_of(msgspec.json.encode(event), event)[0]


def stamped(said: bytes, ingested_at: datetime | None) -> bytes:
    """A form with our stamp spliced behind it."""
    if ingested_at is None:
        return said
    return said[:-1] + _OURS + orjson.dumps(ingested_at, None, orjson.OPT_UTC_Z) + b"}"


def unstamped(record: bytes) -> bytes:
    """A form without our stamp: what the hash is of."""
    at = record.rfind(_OURS)
    # A member of the source's own may be called the same, deeper down.
    return record[:at] + b"}" if at >= 0 and _STAMP.fullmatch(record, at) else record


def _float(text: str) -> Any:
    """A number with a point or an exponent, to be written in the one way that no library decides."""
    number = float(text)
    if 0.001 < number < 1_000_000 and number % 1:
        return number
    if number.is_integer() and abs(number) <= MAX_INTEGER:
        return int(number)  # 1.0 and 1 are one number in JSON
    written = repr(number)
    # Serializers agree on 0.25 and not on 1e-7 or 1e+22. An infinite one is refused below.
    return orjson.Fragment(written) if "e" in written or "n" in written else number


_loads = msgspec.json.Decoder(float_hook=_float).decode


def _without_nulls(node: Any) -> Any:
    if type(node) is dict:
        return {name: _without_nulls(member) for name, member in node.items() if member is not None}
    if type(node) is list:
        return [_without_nulls(element) for element in node]
    return node


def _must_read_alike(value: bytes) -> None:
    """Raise RecordFormError unless every parser reads the same from these bytes."""
    try:
        again = orjson.dumps(orjson.loads(value))
    except (ValueError, TypeError):
        again = b""
    if again != value and again != msgspec.json.format(value, indent=-1):
        _must_read_strictly(value)


def _must_read_strictly(value: bytes) -> None:
    """Read a record as the strictest parser would; raise RecordFormError with the field that is wrong."""
    try:
        node = _strict(value.decode())
    except UnicodeDecodeError as error:
        raise RecordFormError(letters.INVALID_UTF8, str(error)) from error
    except RecursionError as error:
        raise RecordFormError(letters.TOO_DEEP, "nested deeper than a record can be") from error
    _check(node, "$", 1)


def _refusal(value: bytes, otherwise: str) -> RecordFormError:
    try:
        _must_read_strictly(value)
    except RecordFormError as error:
        return error
    return RecordFormError(letters.INVALID_RECORD, otherwise)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, member in pairs:
        members[name] = _DOUBLED if name in members else member
    return members


def _integer(text: str) -> Any:
    return int(text) if len(text) < 20 else _HUGE


_strict = json.JSONDecoder(object_pairs_hook=_members, parse_int=_integer).decode


def _check(node: Any, path: str, depth: int) -> None:
    if isinstance(node, dict | list):
        if depth > MAX_DEPTH:
            raise RecordFormError(letters.TOO_DEEP, f"nested deeper than {MAX_DEPTH} - at `{path}`")
        if isinstance(node, dict):
            for name, member in node.items():
                below = f"{path}.{_shown(name)}"
                _check_text(name, below)
                _check(member, below, depth + 1)
        else:
            for element in node:
                _check(element, f"{path}[...]", depth + 1)
    elif node is _DOUBLED:
        raise RecordFormError(letters.INVALID_RECORD, f"The same name twice in one object - at `{path}`")
    elif node is _HUGE or (isinstance(node, int) and abs(node) > MAX_INTEGER):
        detail = f"Expected `int` within 2**53 - 1, which every parser reads exactly - at `{path}`"
        raise RecordFormError(letters.INVALID_RECORD, detail)
    elif isinstance(node, float) and not math.isfinite(node):
        raise RecordFormError(letters.INVALID_RECORD, f"Number out of range - at `{path}`")
    elif isinstance(node, str):
        _check_text(node, path)


def _check_text(text: str, path: str) -> None:
    if "\0" in text:
        raise RecordFormError(letters.FORBIDDEN_CHARACTER, f"NUL in a text - at `{path}`")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        detail = f"a lone surrogate in a text - at `{path}`"
        raise RecordFormError(letters.FORBIDDEN_CHARACTER, detail) from error


def _shown(name: str) -> str:
    """A name as far as it may stand in a message."""
    return name[:40] if name.isprintable() and "`" not in name else "?"
