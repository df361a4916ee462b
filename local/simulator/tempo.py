"""The clock of a match that is played in less time than it takes. Pure."""

from dataclasses import dataclass

HALF_SECONDS = 45 * 60
# Shares of the playing time: before kick-off, each half, the break; the rest is
# left for what comes late.
_BEFORE, _HALF, _BREAK = 0.04, 0.42, 0.03


@dataclass(frozen=True)
class Tempo:
    """Where each second of a match lies in its playing time, in seconds from the start of the day."""

    kick_off: float
    half: float  # how long a half takes, stoppage included
    restart: float
    stoppage: tuple[int, int]  # match seconds added to the halves

    @classmethod
    def within(cls, seconds: float, late_by: float, stoppage: tuple[int, int]) -> "Tempo":
        """A match in `seconds`, its kick-off moved back by `late_by`."""
        kick_off = seconds * _BEFORE + late_by
        half = seconds * _HALF
        return cls(kick_off, half, kick_off + half + seconds * _BREAK, stoppage)

    @property
    def first_half_end(self) -> float:
        return self.kick_off + self.half

    @property
    def final_whistle(self) -> float:
        return self.restart + self.half

    def is_playing(self, offset: float) -> bool:
        return self.kick_off <= offset < self.first_half_end or self.restart <= offset < self.final_whistle

    def offset_of(self, period: int, clock: float) -> float:
        """When a clock reading is reached."""
        into = (clock - (period - 1) * HALF_SECONDS) / (HALF_SECONDS + self.stoppage[period - 1])
        return (self.kick_off if period == 1 else self.restart) + into * self.half

    def reading_at(self, offset: float) -> tuple[int, int]:
        """Period and clock in seconds at an offset; in a break, what the clock stopped at."""
        if offset < self.restart:
            return 1, self._clock(1, min(max(0.0, offset - self.kick_off), self.half))
        return 2, self._clock(2, min(offset - self.restart, self.half))

    def _clock(self, period: int, into: float) -> int:
        length = HALF_SECONDS + self.stoppage[period - 1]
        return (period - 1) * HALF_SECONDS + int(into / self.half * length)
