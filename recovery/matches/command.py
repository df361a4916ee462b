"""`python -m recovery match`: the composition root of the match time machine."""

import gc
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
import psycopg
from cyclopts import Parameter
from rich.console import Console

from recovery.answers import DONE, REFUSED, print_json
from recovery.audit.meter import Bar, Meter
from recovery.matches.clock import AmbiguousClockError, UnreadableClockError, read_clock
from recovery.matches.history import Cut, Logged, SeqGapError, look
from recovery.matches.telling import Telling, tell
from recovery.matches.view import show
from recovery.moments import FORMS, UnreadableMomentError, read_moment
from recovery.refusals import refuse
from schemas.live import decode_live
from settings import Settings, SettingsError, load
from storage.match_history import MatchHistory, MatchPlace

_SUGGESTED = 5
_STEP = 1_000


class MatchUnknownError(LookupError):
    """The log has no such match; `alike` are ids that contain what was asked for."""

    def __init__(self, match: str, alike: list[str]) -> None:
        hint = f" Alike: {', '.join(alike)}." if alike else " `recovery audit` lists the matches that it has."
        super().__init__(f"the log has no match {match!r}.{hint}")
        self.match = match
        self.alike = alike


class MatchRetiredError(LookupError):
    """The data of a match was dropped after its time."""

    def __init__(self, match: str, retired_at: datetime) -> None:
        super().__init__(
            f"match {match!r} was retired at {retired_at.isoformat()} and its events dropped:"
            " restore a backup from before then beside this installation, and ask there."
        )
        self.match = match
        self.retired_at = retired_at


class UnreadableCutError(ValueError):
    """What was asked for is no moment."""


def match(
    match: Annotated[str, Parameter(help="Its id.")],
    /,
    *,
    at: Annotated[str | None, Parameter(help="Match clock, like 63:12, 45+2:10 or 2/47:00.")] = None,
    as_of: Annotated[str | None, Parameter(help=f"A moment of the log: {FORMS}.")] = None,
    seq: Annotated[int | None, Parameter(help="Up to and with this event of the match.")] = None,
    json: Annotated[bool, Parameter(negative=(), help="Print the answer as JSON.")] = False,
) -> int:
    """Show a match at a moment, as known then and as known now; return the exit status."""
    errors = Console(stderr=True)
    gc.set_threshold(100_000, 50, 50)
    try:
        asked, cut = read_cut(at, as_of, seq, datetime.now(UTC))
        with Bar(errors) as meter:
            telling = look_at(load(), match, asked, cut, meter)
    except (AmbiguousClockError, MatchRetiredError, MatchUnknownError) as error:
        refuse(error, json)
        return REFUSED
    except (
        SettingsError,
        SeqGapError,
        UnreadableClockError,
        UnreadableCutError,
        UnreadableMomentError,
        psycopg.Error,
        msgspec.MsgspecError,
    ) as error:
        return refuse(error, json)
    if json:
        print_json(telling)
    else:
        show(telling, Console())
    return DONE


Way = Literal["at", "as_of", "seq", "head"]


def read_cut(at: str | None, as_of: str | None, seq: int | None, now: datetime) -> tuple[Way, Cut]:
    """The moment that a command line asks for; raise UnreadableClockError, UnreadableCutError.

    UnreadableMomentError, too, is a ValueError that says what to write.
    """
    if sum(given is not None for given in (at, as_of, seq)) > 1:
        raise UnreadableCutError("--at, --as-of and --seq each name a moment: give one of them.")
    if at is not None:
        return "at", Cut(at=read_clock(at))
    if as_of is not None:
        return "as_of", Cut(as_of=read_moment("--as-of", as_of, now))
    if seq is not None:
        if seq < 0:
            raise UnreadableCutError(f"--seq {seq}: the first event of a match has seq 1.")
        return "seq", Cut(seq=seq)
    return "head", Cut()


def look_at(settings: Settings, match: str, asked: Way, cut: Cut, meter: Meter) -> Telling:
    """Read a match and tell; raise MatchUnknownError, MatchRetiredError and what `look` raises."""
    with MatchHistory(settings.postgres, match) as history:
        place = history.place()
        if place is None:
            raise MatchUnknownError(match, history.like(_SUGGESTED))
        if place.retired_at is not None and not place.head_seq:
            raise MatchRetiredError(match, place.retired_at)
        meter.begin(f"events of {match}", place.head_seq)
        return tell(place, asked, look(match, _events(history, place, meter), cut))


def _events(history: MatchHistory, place: MatchPlace, meter: Meter) -> Iterator[Logged]:
    for row in history.rows():
        yield Logged(row.seq, row.position, row.appended_at, decode_live(row.payload).event)
        if row.seq % _STEP == 0 or row.seq == place.head_seq:
            meter.reached(row.seq)
