"""One match of a match day: what is known of it before it starts. Pure."""

import random
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta

from local.simulator.clubs import Squad
from local.simulator.tempo import Tempo
from schemas.raw import Side


@dataclass(frozen=True)
class Rates:
    """Shares of the records that are disturbed on the way; 0 is never, 1 each."""

    duplicates: float = 0.05
    disorder: float = 0.1
    late: float = 0.01
    malformed: float = 0.01
    conflicting: float = 0.005
    corrections: float = 0.2


@dataclass(frozen=True)
class Occasion:
    """Who plays whom, and when."""

    match: str
    home: Squad
    away: Squad
    begins_at: datetime  # of the match day: offsets count from here
    tempo: Tempo

    def squad(self, side: Side) -> Squad:
        return self.home if side == "home" else self.away

    def at(self, offset: float) -> datetime:
        """The wall clock at an offset, to the millisecond as feeds write it."""
        return self.begins_at + timedelta(milliseconds=round(offset * 1000))


def other(side: Side) -> Side:
    return "away" if side == "home" else "home"


def match_id(begins_at: datetime, seed: int, home: str, away: str) -> str:
    """An id that people can read in an address, new for each match day."""
    return f"{begins_at:%Y%m%d-%H%M%S}-{seed}-{_slug(home)}-{_slug(away)}"


def draw_stoppage(draw: random.Random) -> tuple[int, int]:
    """Match seconds added to the two halves."""
    return draw.randrange(60, 240), draw.randrange(120, 420)


def _slug(club: str) -> str:
    plain = unicodedata.normalize("NFKD", club.split()[0]).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
