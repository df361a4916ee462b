"""What fans ask, checked at the boundary, and what they are told when it does not fit."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

MAX_PAGE = 1_000

MatchId = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00]*$")]
Seq = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Generation = Annotated[int, Meta(ge=0, le=2**63 - 1)]


Chain = Annotated[str, Meta(min_length=32, max_length=32, pattern=r"^[0-9a-fA-F]{32}$")]


class Since(msgspec.Struct, frozen=True):
    """The last event a fan has, and the chain that came with it; a fan who keeps no chains leaves it out."""

    generation: Generation
    seq: Seq
    chain: Chain | None = None


class Join(msgspec.Struct, frozen=True):
    """Follow a match, from its image or from where the fan left off."""

    match: MatchId
    since: Since | None = None


class Leave(msgspec.Struct, frozen=True):
    """Follow a match no longer."""

    match: MatchId


class Backfill(msgspec.Struct, frozen=True):
    """Events of a match after a seq; `chain` is the one there, if the fan keeps it."""

    match: MatchId
    generation: Generation
    after_seq: Seq
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)] = 200
    chain: Chain | None = None

    @property
    def since(self) -> Since:
        return Since(self.generation, self.after_seq, self.chain)


class Ping(msgspec.Struct, frozen=True):
    """Anything the fan wants to see again."""

    t: int | float | str | None = None


Ask = TypeVar("Ask", Join, Leave, Backfill, Ping)


class RefusedError(Exception):
    """An ask that is answered with an error; `code` is for programs, the message for people."""

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field

    def as_answer(self) -> dict[str, Any]:
        named = {} if self.field is None else {"field": self.field}
        return {"error": {"code": self.code, "message": self.message, **named}}


INVALID = "invalid"
UNAVAILABLE = "unavailable"
TOO_MANY_MATCHES = "too_many_matches"
UNKNOWN_EVENT = "unknown_event"

# As in: Expected `str`, got `int` - at `$.since.seq`
_PATH = re.compile(r" - at `\$\.?([^`]*)`$")
_MISSING = re.compile(r"required field `([^`]*)`")


def read(kind: type[Ask], arguments: Sequence[object]) -> Ask:
    """The one object a Socket.IO event carries, as an ask; raise RefusedError naming the field."""
    if len(arguments) > 1:
        raise RefusedError(INVALID, f"one object is expected, {len(arguments)} values came")
    try:
        return msgspec.convert(arguments[0] if arguments else {}, kind)
    except msgspec.ValidationError as error:
        reason = str(error)
        field = _field(reason)
        said = _PATH.sub("", reason)
        raise RefusedError(INVALID, f"{field}: {said}" if field else said, field or None) from error


def _field(reason: str) -> str:
    path, missing = _PATH.search(reason), _MISSING.search(reason)
    return ".".join(found[1] for found in (path, missing) if found and found[1])
