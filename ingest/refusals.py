"""What a caller is told about a record that was not taken. Pure."""

import re

import msgspec

from schemas.validation import Rejection

# msgspec: "Expected `int` >= 0 - at `$.body.clock`", "Object missing required field `match` - at `$.body`"
_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]+)`")


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """One record that was not taken, and what its sender can do about it."""

    line: int  # 1 is the first line, or the first element of an array
    field: str  # dotted path inside the record; empty when the whole line is wrong
    reason: str  # for people
    code: str  # of schemas.letters, for programs


def field_and_reason(detail: str) -> tuple[str, str]:
    """Split what the decoder says into the field and what is wrong with it."""
    place = _PLACE.search(detail)
    path, reason = (place[1], detail[: place.start()]) if place else ("", detail)
    missing = _MISSING.search(reason)
    if missing:
        return ".".join(filter(None, (path, missing[1]))), "required, but missing"
    return path, reason.replace("`", "")


def refusal_of(rejection: Rejection, line: int) -> Refusal:
    """Tell a caller why a record was rejected."""
    field, reason = field_and_reason(rejection.detail)
    return Refusal(line, field, reason, rejection.reason)
