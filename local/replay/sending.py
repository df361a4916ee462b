"""Say the lines of a recording when they are due, and kill a lane in between when asked to."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from local.replay.recording import Due
from local.simulator.feed import Feed

_TICK_SECONDS = 0.02
_KILLED_WITHIN_SECONDS = 0.15  # after the lines before it were taken: a lane is at work on them then
_LOOK_EVERY_SECONDS = 5.0


def cuts(lines: int, kills: int, draw: random.Random) -> list[int]:
    """After how many lines to kill: at random, never before the first nor after the last."""
    return sorted(draw.sample(range(1, lines), min(kills, max(0, lines - 1))))


class Sending:
    """The vendor's side of a replay.

    At each cut it waits until ingest has everything before it, so that a kill
    meets a lane on the way, however fast the rest goes.
    """

    def __init__(
        self,
        due: Sequence[Due],
        feed: Feed[int],
        cut_after: Sequence[int],
        kill: Callable[[], Awaitable[None]],
        draw: random.Random,
    ) -> None:
        self._due = due
        self._feed = feed
        self._cut_after = cut_after
        self._kill = kill
        self._draw = draw

    async def run(self) -> None:
        """Say everything, then that it was all."""
        loop = asyncio.get_running_loop()
        begins_at = loop.time()
        sent = 0
        for cut in (*self._cut_after, len(self._due)):
            while sent < cut:
                wait = begins_at + self._due[sent].at - loop.time()
                if wait > 0:
                    await asyncio.sleep(max(wait, _TICK_SECONDS))
                sent += self._say(sent, cut, loop.time() - begins_at)
            if cut < len(self._due):
                while self._feed.taken < cut:
                    await self._feed.news(_LOOK_EVERY_SECONDS)
                await asyncio.sleep(self._draw.uniform(0, _KILLED_WITHIN_SECONDS))
                await self._kill()
        self._feed.finish(is_end=True)

    def _say(self, start: int, end: int, now: float) -> int:
        """Say what is due of the lines from `start` to `end`; return how many."""
        count = 0
        while start + count < end and self._due[start + count].at <= now:
            count += 1
        said = range(start, start + count)
        self._feed.release([(self._due[number].line, number) for number in said])
        return count
