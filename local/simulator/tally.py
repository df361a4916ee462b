"""The score as the referee would count it: independent of the fold it is held against."""

from dataclasses import dataclass

from schemas.raw import Side


@dataclass(frozen=True)
class Result:
    """What must be true of a match in the end."""

    home: int
    away: int
    goals: tuple[str, ...]  # source_event_ids of those that stand, in order of the match


class Tally:
    """Counts goals as they are given and taken back, on the pitch's own time."""

    def __init__(self) -> None:
        self._sides: dict[str, Side] = {}

    def give(self, goal: str, counts_for: Side) -> None:
        self._sides[goal] = counts_for

    def take_back(self, goal: str) -> None:
        del self._sides[goal]

    def result(self) -> Result:
        sides = list(self._sides.values())
        return Result(sides.count("home"), sides.count("away"), tuple(self._sides))
