"""Play a programme in real time: say what is due, write down what was taken."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import blake2b
from itertools import groupby
from operator import attrgetter

import msgspec

from local.simulator.disturb import Send
from local.simulator.feed import Feed
from local.simulator.ledger import Ledger
from local.simulator.ledger_entries import Final, Sent, Start
from local.simulator.match_day import MatchDay, Programme
from local.simulator.push import SensorPush

# What falls due within this time goes out together.
_TICK_SECONDS = 0.02
_AT_ONCE = 2_000  # while catching up, others get their turn in between


def run_name(start: Start) -> str:
    """A name for a run in its cursors: the same programme and start have the same."""
    return blake2b(msgspec.json.encode(start), digest_size=6).hexdigest()


class Upstreams:
    """The three upstreams, driven by the clock.

    Delivery: everything that falls due is said at least once, also after a
    restart in the middle: the same programme and start say the same again,
    and each reader goes on from its cursor.
    """

    def __init__(
        self,
        programme: Programme,
        begins_at: datetime,
        ledger: Ledger,
        broadcast: Feed[Sent],
        social: Feed[Sent],
        sensors: SensorPush,
        now: Callable[[], datetime],
    ) -> None:
        self.finals: list[Final] = []  # of the last day that was played
        self._programme = programme
        self._begins_at = begins_at
        self._ledger = ledger
        self._broadcast = broadcast
        self._social = social
        self._sensors = sensors
        self._now = now
        self._is_pushing_again = False

    async def play(self) -> None:
        """Play to the end and until everything was taken; an open-ended programme never ends."""
        while not self._ledger.is_complete:
            day = MatchDay(self._programme, self._begins_at, self._ledger.days)
            self.finals = day.finals()
            await self._play_day(day)
            self._ledger.close_day(self.finals)
            if not self._programme.is_open_ended:
                self._ledger.close()

    async def _play_day(self, day: MatchDay) -> None:
        self._is_pushing_again = False
        feeds = (self._broadcast, self._social)
        for feed in feeds:
            feed.begin(day.day)
        due: list[Send] = []
        for send in day.sends():
            wait = self._seconds_until(day, send.at)
            if wait > _TICK_SECONDS or len(due) >= _AT_ONCE:
                await self._say(due)
                due = []
                await asyncio.sleep(max(0.0, wait))
            due.append(send)
        await self._say(due)
        for feed in feeds:
            feed.finish(is_end=not self._programme.is_open_ended)
        await self._sensors.drained()
        for feed in feeds:
            while not feed.is_taken:
                await feed.news(within=60.0)

    async def _say(self, due: list[Send]) -> None:
        upstream = attrgetter("upstream")
        for name, sends in groupby(sorted(due, key=upstream), upstream):
            if name == "sensors":
                await self._sensors.put(self._not_yet_pushed(list(sends)))
            else:
                feed = self._broadcast if name == "broadcast" else self._social
                feed.release([(send.payload, send.entry) for send in sends])

    def _not_yet_pushed(self, sends: list[Send]) -> list[Send]:
        """Leave out what was taken before a restart.

        Pushes go out in order, so all before the first unknown one was taken.
        From there on nothing is left out: a repeat is known, and meant.
        """
        first = 0
        while not self._is_pushing_again and first < len(sends):
            if self._ledger.knows(sends[first].entry):
                first += 1
            else:
                self._is_pushing_again = True
        return sends[first:]

    def _seconds_until(self, day: MatchDay, offset: float) -> float:
        return (day.begins_at + timedelta(seconds=offset) - self._now()).total_seconds()
