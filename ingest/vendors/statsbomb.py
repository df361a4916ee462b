"""StatsBomb event JSON, one event a line, as records of ours: each line is exactly one.

The format: https://github.com/statsbomb/open-data (doc/Open Data Events).
A line stands for itself: what was mapped before changes nothing, except that a
line-up tells which team is at home, and that a line with an id said before and
another content is the next version of that event.
"""

import re
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ingest.publications import Publications
from ingest.vendors import VendorFormatError
from schemas.raw import Action, BroadcastBody, BroadcastEvent, RawEvent, Side
from schemas.validation import Rejection, parse

# Their pitch is 120 x 80 whatever the stadium; ours is in metres.
_METRES_X = 105 / 120
_METRES_Y = 68 / 80

# Where a period starts after kick-off when lines carry no absolute time: the
# vendor's `timestamp` restarts at each. Usual breaks; the real ones are not in the file.
_PERIOD_STARTS = {
    1: timedelta(),
    2: timedelta(minutes=62),
    3: timedelta(minutes=115),
    4: timedelta(minutes=132),
    5: timedelta(minutes=152),
}
# Such lines name no date either: a day that nobody takes for a real one.
_UNKNOWN_DAY = datetime(1970, 1, 1, tzinfo=UTC)
_ENDS_MATCH = frozenset({2, 4, 5})  # periods; a later period_start makes it live again

# A correction is above every revision that a former code gave: those of an add
# were a hash of 40 bits.
FIRST_CORRECTION = 2**40
_HASH_BYTES = 5

# Names that are not just their own words in our spelling.
_TYPES = {
    "50/50": "fifty_fifty",
    "Goal Keeper": "goalkeeper",
    "Half End": "period_end",
    "Half Start": "period_start",
    "Own Goal Against": "own_goal",  # `team` is the scorer's
    "Starting XI": "lineup",
}
_CARDS = {"Yellow Card": "yellow_card", "Second Yellow": "second_yellow_card", "Red Card": "red_card"}
_KIND = re.compile(r"[a-z][a-z0-9_]{0,31}")
_NOT_A_WORD = re.compile(r"[^a-z0-9]+")
_AT = re.compile(r"- at `\$\.(.+)`")
_MISSING = re.compile(r"missing required field `(\w+)`")
_TIMESTAMP = re.compile(r"(\d{2}):(\d{2}):(\d{2}(?:\.\d{1,9})?)")


class _Named(msgspec.Struct, frozen=True, gc=False):
    name: str


class _Detail(msgspec.Struct, frozen=True, gc=False):
    """What the block of an event's own type may hold: `pass`, `shot`, `duel`..."""

    outcome: _Named | None = None
    type: _Named | None = None
    card: _Named | None = None
    recipient: _Named | None = None
    replacement: _Named | None = None
    penalty: bool = False


class _Placed(msgspec.Struct, frozen=True, gc=False):
    player: _Named


class _Tactics(msgspec.Struct, frozen=True, gc=False):
    formation: int | str = ""
    lineup: tuple[_Placed, ...] = ()


class _Line(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The fields of a line that mean something to us; the others pass unread."""

    id: str
    type: _Named
    period: int
    minute: int
    second: int
    team: _Named
    # Not the vendor's: which version of its id a line is, from 0, where whoever
    # serves it knows. Then the order of arrival tells nothing.
    published: Annotated[int, Meta(ge=0, lt=2**32)] | None = msgspec.field(default=None, name="_published")
    index: int | None = None
    timestamp: str = ""
    event_time: datetime | None = msgspec.field(default=None, name="_event_time")
    player: _Named | None = None
    location: tuple[float, ...] = ()
    tactics: _Tactics | None = None
    pass_: _Detail | None = msgspec.field(default=None, name="pass")
    ball_receipt: _Detail | None = None
    ball_recovery: _Detail | None = None
    bad_behaviour: _Detail | None = None
    dribble: _Detail | None = None
    duel: _Detail | None = None
    fifty_fifty: _Detail | None = msgspec.field(default=None, name="50_50")
    foul_committed: _Detail | None = None
    goalkeeper: _Detail | None = None
    interception: _Detail | None = None
    shot: _Detail | None = None
    substitution: _Detail | None = None

    @property
    def detail(self) -> _Detail:
        return (
            self.pass_
            or self.shot
            or self.foul_committed
            or self.bad_behaviour
            or self.substitution
            or self.ball_receipt
            or self.goalkeeper
            or self.duel
            or self.dribble
            or self.interception
            or self.ball_recovery
            or self.fifty_fifty
            or _NO_DETAIL
        )


_NO_DETAIL = _Detail()
_decode_line = msgspec.json.Decoder(_Line).decode
_decode_plain = msgspec.json.Decoder(dict[str, Any]).decode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_encode = msgspec.json.Encoder().encode


class Mapper:
    """Map the lines of one match.

    The line-ups at its beginning tell who is at home; until one was seen, a
    record has no side.
    """

    def __init__(self, match: str, publications: Publications | None = None) -> None:
        self._match = match
        self._publications = Publications() if publications is None else publications
        self._home_team = ""
        self._away_team = ""

    def map(self, line: bytes) -> RawEvent:
        """The record that a line stands for; raise VendorFormatError for a line that is none."""
        vendor = _read(line)
        kind = _type_of(vendor)
        if kind == "lineup":
            self._learn_sides(vendor)
        record = BroadcastEvent(
            match=self._match,
            source_event_id=vendor.id,
            type=kind,
            occurred_at=vendor.event_time or _derived_time(vendor),
            body=self._body(vendor, kind),
        )
        checked = parse(_encode(record))
        if isinstance(checked, Rejection):
            raise VendorFormatError(checked.reason, checked.detail)
        # Last, so that only what is a record counts as a version.
        return msgspec.structs.replace(checked, **self._version(vendor, _content(line)))

    def _version(self, vendor: _Line, content: bytes) -> dict[str, Any]:
        number = vendor.published
        if number is None:
            number = self._publications.version_of(self._match, vendor.id, content)
        if number > 0:
            action: Action = "modify"
            return {"revision": FIRST_CORRECTION + number, "action": action}
        return {"revision": _former_revision(content)} if self._publications.began_hashed else {}

    def _learn_sides(self, vendor: _Line) -> None:
        """The line-up with index 1 is the home side's; without an index, the first that comes."""
        if self._home_team or self._away_team:
            return
        if vendor.index == 2:
            self._away_team = vendor.team.name
        else:
            self._home_team = vendor.team.name

    def _side(self, team: str) -> Side | None:
        if self._home_team:
            return "home" if team == self._home_team else "away"
        if self._away_team:
            return "away" if team == self._away_team else "home"
        return None

    def _body(self, vendor: _Line, kind: str) -> BroadcastBody:
        detail, side, team = vendor.detail, self._side(vendor.team.name), vendor.team.name
        is_lineup = kind == "lineup"
        x, y = vendor.location[:2] if len(vendor.location) >= 2 else (None, None)
        other = detail.recipient or detail.replacement
        return BroadcastBody(
            side=side,
            period=vendor.period,
            clock=vendor.minute * 60 + vendor.second,
            player=vendor.player.name if vendor.player else "",
            other_player=other.name if other else "",
            outcome=_outcome(vendor, kind),
            reason="penalty" if detail.penalty else "",
            x=None if x is None else round(x * _METRES_X, 2),
            y=None if y is None else round(y * _METRES_Y, 2),
            text=_lineup_text(vendor),
            home=team if is_lineup and side == "home" else "",
            away=team if is_lineup and side == "away" else "",
        )


def _derived_time(vendor: _Line) -> datetime:
    stamp = _TIMESTAMP.fullmatch(vendor.timestamp)
    if stamp is None:
        raise VendorFormatError("timestamp", "neither `_event_time` nor HH:MM:SS.mmm here")
    into = timedelta(hours=int(stamp[1]), minutes=int(stamp[2]), seconds=float(stamp[3]))
    start = _PERIOD_STARTS.get(vendor.period)
    if start is None:
        raise VendorFormatError("period", f"{vendor.period} is not in 1..5")
    return _UNKNOWN_DAY + start + into


def _read(line: bytes) -> _Line:
    try:
        return _decode_line(line)
    except msgspec.ValidationError as error:
        raise VendorFormatError(_field_of(str(error)), str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise VendorFormatError("line", f"no JSON: {error}") from error


def _field_of(message: str) -> str:
    """The field that msgspec's message speaks of, as a dotted path."""
    parts = [found[1] for found in (_AT.search(message), _MISSING.search(message)) if found]
    return ".".join(parts) or "line"


def _content(line: bytes) -> bytes:
    """What a line says, the same whatever its spacing and the order of its fields.

    Not `index`: an event put in between renumbers all that follow it.
    """
    try:
        said = _decode_plain(line)
        said.pop("index", None)
        said.pop("_published", None)
        return _encode_sorted(said)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise VendorFormatError("line", f"cannot be read in full: {error}") from error


def _former_revision(content: bytes) -> int:
    """The revision of a first word in feeds that were read by the code that took a hash for it."""
    return int.from_bytes(blake2b(content, digest_size=_HASH_BYTES).digest(), "big")


def _type_of(vendor: _Line) -> str:
    detail, name = vendor.detail, vendor.type.name
    if detail.card is not None:
        card = _CARDS.get(detail.card.name)
        if card is None:
            raise VendorFormatError("card", f"{detail.card.name!r} is not one of {', '.join(_CARDS)}")
        return card
    if name == "Shot":
        if detail.outcome is not None and detail.outcome.name == "Goal":
            return "goal"
        is_penalty = detail.type is not None and detail.type.name == "Penalty"
        return "penalty_missed" if is_penalty else "shot"
    kind = _TYPES.get(name) or _NOT_A_WORD.sub("_", name.lower()).strip("_")
    if not _KIND.fullmatch(kind):
        raise VendorFormatError("type.name", f"{name!r} has no name of ours")
    return kind


def _outcome(vendor: _Line, kind: str) -> str:
    if kind == "period_end":
        return "full_time" if vendor.period in _ENDS_MATCH else ""
    if vendor.detail.outcome is not None:
        return vendor.detail.outcome.name
    # They name a pass's outcome only when it failed.
    return "complete" if kind == "pass" else ""


def _lineup_text(vendor: _Line) -> str:
    if vendor.tactics is None:
        return ""
    formation = "-".join(str(vendor.tactics.formation))
    players = ", ".join(placed.player.name for placed in vendor.tactics.lineup)
    return f"{vendor.team.name} {formation}: {players}"
