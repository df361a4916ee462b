"""A match day from a seed: everything that is sent, and what must be true in the end. Pure."""

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from heapq import merge

from local.simulator.clubs import pairings, squad_of
from local.simulator.disturb import Send, disturb
from local.simulator.ledger_entries import Final, Start
from local.simulator.occasion import Occasion, Rates, draw_stoppage, match_id
from local.simulator.play import play
from local.simulator.plot import Plot, write_plot
from local.simulator.tempo import Tempo
from schemas.live import Score

# Matches of a day kick off one after another within this share of it.
_STAGGER = 0.03
# A day without end is made of days this long.
OPEN_ENDED_DAY_SECONDS = 600.0


@dataclass(frozen=True)
class Programme:
    """What a run is made from: the same programme and start give the same bytes."""

    seed: int = 1
    matches: int = 4
    seconds: float = 30.0  # of playing; 0: one day after another, for ever
    rate: float = 300.0  # records a second, of all matches together
    rates: Rates = field(default_factory=Rates)

    @property
    def day_seconds(self) -> float:
        return self.seconds or OPEN_ENDED_DAY_SECONDS

    @property
    def is_open_ended(self) -> bool:
        return self.seconds == 0

    def start(self, begins_at: datetime) -> Start:
        """The first line of its ledger."""
        return Start(begins_at, self.seed, self.matches, self.seconds, self.rate, asdict(self.rates))


class MatchDay:
    """One day of a programme; days count from 0."""

    def __init__(self, programme: Programme, begins_at: datetime, day: int) -> None:
        self.day = day
        self.begins_at = begins_at + timedelta(seconds=day * programme.day_seconds)
        self._programme = programme
        self._matches = [self._invent(number, *clubs) for number, clubs in enumerate(self._pairings())]

    def sends(self) -> Iterator[Send]:
        """Everything that is sent, in order of time; offsets count from the start of the day."""
        return merge(*(self._sends_of(number) for number in range(len(self._matches))), key=_time_of)

    def finals(self) -> list[Final]:
        """What must be true of each match when all was taken."""
        return [
            Final(occasion.match, Score(plot.result.home, plot.result.away), plot.result.goals)
            for occasion, plot in self._matches
        ]

    def _pairings(self) -> list[tuple[str, str]]:
        return pairings(self._draw("pairings"), self._programme.matches)

    def _invent(self, number: int, home: str, away: str) -> tuple[Occasion, Plot]:
        programme, draw = self._programme, self._draw(f"plot {number}")
        seconds = programme.day_seconds
        late_by = seconds * _STAGGER * number / programme.matches
        occasion = Occasion(
            match_id(self.begins_at, programme.seed, home, away),
            squad_of(home),
            squad_of(away),
            self.begins_at,
            Tempo.within(seconds, late_by, draw_stoppage(draw)),
        )
        return occasion, write_plot(draw, occasion, programme.rates.corrections)

    def _sends_of(self, number: int) -> Iterator[Send]:
        programme = self._programme
        occasion, plot = self._matches[number]
        until = programme.day_seconds
        said = play(self._draw(f"play {number}"), occasion, plot, programme.rate / programme.matches, until)
        return disturb(self._draw(f"disturb {number}"), said, programme.rates, until)

    def _draw(self, purpose: str) -> random.Random:
        """Chance of its own for each purpose: more of one thing changes no other."""
        return random.Random(f"{self._programme.seed}/{self.day}/{purpose}")


def _time_of(send: Send) -> float:
    return send.at
