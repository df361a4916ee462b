"""One replay: the feed, the ingest that polls it, the fan that watches, and what they came to."""

import asyncio
import random
import socket
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import uvicorn
from msgspec.structs import replace

from ingest.vendors.statsbomb import Mapper
from local.environment import environment_of, inherited
from local.replay.delivered import Delivered, Expected
from local.replay.fan import Fan, Summary, watching
from local.replay.ground import Ground, NoLaneError
from local.replay.oracle import differences
from local.replay.outcome import Outcome, outcome_of
from local.replay.recording import numbered, schedule
from local.replay.sending import Sending, cuts
from local.simulator import served
from local.simulator.feed import Feed
from local.spawn import last_lines
from schemas.live import LiveEvent
from schemas.partitioning import partition_of
from settings import ROOT

VENDOR = "statsbomb"
_COMES_BACK_WITHIN_SECONDS = 30.0
_LOOK_EVERY_SECONDS = 0.05

Say = Callable[[str], None]
Watch = Callable[[int, int, int], None]  # lines taken, events in Postgres, events at the fan


class IngestFailedError(RuntimeError):
    """The ingest that polls the recording ended before it had all of it."""


@dataclass(frozen=True)
class Wish:
    """What to replay and how."""

    lines: tuple[bytes, ...]
    match: str
    speed: float | None = None  # None: all at once
    shuffle_within: timedelta = timedelta()
    copies: int = 1
    seed: int = 1
    kills: int = 0


class Result(msgspec.Struct, kw_only=True):
    """What came out: a Socket.IO client's view, and how the stores compare with it."""

    match: str
    outcome: Outcome
    events: dict[str, int]
    dead_letters: dict[str, int]
    lines_sent: int  # copies included
    repeats: int
    seq_gapless: bool
    kills: int
    fan: Summary
    disagreements: list[str]


async def replay(ground: Ground, wish: Wish, now: datetime, say: Say, watch: Watch) -> Result:
    """Send the recording, wait until nothing is under way, and read what was delivered.

    Raises StuckError, FanError, IngestFailedError, NoLaneError.
    """
    draw = random.Random(wish.seed)
    settings = ground.settings
    lines = numbered(wish.lines, wish.match)
    due = schedule(lines, wish.speed, wish.shuffle_within, wish.copies, draw)
    expected = Expected.of(lines, Mapper(wish.match))
    feed: Feed[int] = Feed(blake2b(f"{wish.match} {now}".encode(), digest_size=6).hexdigest(), _forget)
    logs = settings.data / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    async with watching(settings.url("gateway"), wish.match, logs / "replay-fan.log", say) as fan:
        await fan.joined()
        delivered = Delivered(settings, wish.match, expected, fan)
        killer = _Killer(ground, partition_of(wish.match, settings.shards), delivered, say)
        sending = Sending(due, feed, cuts(len(due), wish.kills, draw), killer.kill, draw)
        showing = asyncio.create_task(_show(watch, feed, delivered))
        try:
            async with (
                _served(feed, wish.match) as url,
                _ingest(ground, url, logs / "replay-ingest.log") as taken,
            ):
                await _both(sending.run(), taken)
            await delivered.settled()
            watch(feed.taken, *delivered.progress)
            return await _result(wish, len(due), expected, delivered, fan, killer.kills)
        finally:
            showing.cancel()
            delivered.close()


class _Killer:
    """Kills the lane of one shard, and sees it come back."""

    def __init__(self, ground: Ground, shard: int, delivered: Delivered, say: Say) -> None:
        self.kills = 0
        self._ground = ground
        self._shard = shard
        self._delivered = delivered
        self._say = say
        self._events_before = -1

    async def kill(self) -> None:
        """SIGKILL the lane; wait first until it is at work again after the kill before."""
        await self._until(self._is_at_work)
        lane = self._ground.lane_of(self._shard)
        lane.kill()
        await self._until(lambda: self._has_returned(lane.pid))
        self.kills += 1
        self._events_before = await self._delivered.count()
        self._say(f"killed enrich (pid {lane.pid}) with {self._events_before} events in the log")

    async def _is_at_work(self) -> bool:
        return self.kills == 0 or await self._delivered.count() > self._events_before

    async def _has_returned(self, killed: int) -> bool:
        try:
            return self._ground.lane_of(self._shard).pid != killed
        except NoLaneError:
            return False

    async def _until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        for _ in range(round(_COMES_BACK_WITHIN_SECONDS / _LOOK_EVERY_SECONDS)):
            if await condition():
                return
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
        raise NoLaneError(
            f"enrich is not at work {_COMES_BACK_WITHIN_SECONDS:g} s after a kill; see its log in"
            f" {self._ground.settings.data / 'logs'}"
        )


async def _both(sending: Coroutine[Any, Any, None], taken: Coroutine[Any, Any, None]) -> None:
    """Run both to their end, or stop one when the other fails."""
    tasks = {asyncio.create_task(sending), asyncio.create_task(taken)}
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in pending:
        task.cancel()
    for task in done:
        task.result()


async def _result(
    wish: Wish, sent: int, expected: Expected, delivered: Delivered, fan: Fan, kills: int
) -> Result:
    stored, streamed = await delivered.from_postgres(), await delivered.from_redis()
    letters = await delivered.letters()
    summary = await fan.finish()
    views = {"postgres": stored, "redis": streamed, "socketio": fan.events}
    outcome = outcome_of(fan.events)
    return Result(
        match=wish.match,
        outcome=outcome,
        events={name: len(events) for name, events in views.items()},
        dead_letters=letters,
        lines_sent=sent,
        repeats=sent - len(stored) - sum(letters.values()),
        seq_gapless=fan.is_gapless,
        kills=kills,
        fan=summary,
        disagreements=[
            *_disagreements(views, fan.is_gapless, summary),
            *_not_as_published(expected.outcome, outcome, fan.events),
        ],
    )


def _not_as_published(expected: Outcome, outcome: Outcome, events: Sequence[LiveEvent]) -> list[str]:
    """Where events, or the score that the log computed with them, are not what the file published last."""
    found = differences(msgspec.to_builtins(expected), msgspec.to_builtins(outcome), {})
    score = list(expected.final_score.values())
    if events and [events[-1].score.home, events[-1].score.away] != score:
        told = events[-1].score
        found.append(f"score of the log: {told.home}-{told.away} instead of {'-'.join(map(str, score))}")
    return [f"what was published last: {each}" for each in found]


def _disagreements(views: Mapping[str, Sequence[LiveEvent]], is_gapless: bool, fan: Summary) -> list[str]:
    """Where the stores and the fan do not have the same events, each once and in order."""
    found: list[str] = []
    stored = views["postgres"]
    for name, events in views.items():
        if [event.seq for event in events] != list(range(1, len(events) + 1)):
            found.append(f"the seqs in {name} are not 1 to {len(events)}, each once and in order")
        if list(events) != list(stored):
            ids = {event.event_id for event in events}
            lacking = sum(event.event_id not in ids for event in stored)
            found.append(f"{name} has {len(events)} events, postgres {len(stored)}; {lacking} are missing")
    if not is_gapless:
        found.append("the Socket.IO client's events are not gapless")
    if fan.repeated and fan.joins == 1 and not fan.holes:
        found.append(f"the gateway sent {fan.repeated} events twice over one connection")
    return found


async def _show(watch: Watch, feed: Feed[int], delivered: Delivered) -> None:
    while True:
        watch(feed.taken, *delivered.progress)
        await asyncio.sleep(0.2)


@asynccontextmanager
async def _served(feed: Feed[int], match: str) -> AsyncIterator[str]:
    """The recording as a broadcast feed, on a port of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    application = served.application(served.broadcast(feed, {"Match": match}))
    server = served.QuietServer(uvicorn.Config(application, log_level="warning", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve([listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/broadcast"
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def _ingest(ground: Ground, url: str, log: Path) -> AsyncIterator[Coroutine[Any, Any, None]]:
    """A second ingest process beside the platform's, for this feed alone; yields the wait for its end."""
    with TemporaryDirectory(prefix="touchline-replay-") as cursors, log.open("ab") as output:
        settings = replace(
            ground.settings,
            ingest_adapters="broadcast",
            broadcast_url=url,
            broadcast_format=VENDOR,
            data=Path(cursors),  # the place in a feed that lives once is of no use later
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ingest", "--until-end"),
            cwd=ROOT,
            env=inherited(environment_of(settings)),
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
        )
        taken = _taken(process, log)
        try:
            yield taken
        finally:
            taken.close()
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _taken(process: Process, log: Path) -> None:
    code = await process.wait()
    if code != 0:
        said = "\n".join(f"    {line}" for line in last_lines(log, 12))
        raise IngestFailedError(f"ingest exited with {code}:\n{said}")


def _forget(_: Sequence[int]) -> None:
    """A replay asks the feed itself how much was taken."""
