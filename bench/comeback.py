"""How long the log stands still when a lane is killed or handed over, beside an import of the dataflow."""

import asyncio
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Literal

import msgspec
import psycopg
from confluent_kafka import Producer

from bench.load import preload, readings
from bench.servers import finished, installation, say, servers
from local.environment import environment_of, inherited
from schemas.partitioning import partition_of
from settings import Settings
from storage.append import read_head
from storage.lane_reads import lane_sessions

How = Literal["kill", "standby", "handover"]

_TICK_SECONDS = 0.02
_LOOK_SECONDS = 0.01
_SETTLES_SECONDS = 8.0  # before a lane is taken away: it has caught up by then
_IMPORTED_SECONDS = 4.0  # how long the next lane gets to import everything and wait for its turn
_AUDIT_SETTLES_SECONDS = 120
# The relay does 50,000 a second and more; while a lane drains a backlog alone, its
# write-through may have been refused from the first batch on.
_RELAY_PER_SECOND = 20_000
_STUCK_AFTER = timedelta(minutes=15)
_encode = msgspec.json.Encoder().encode


class ComebackFigures(msgspec.Struct, frozen=True):
    """One run; seconds, `gaps` one for each time that a lane went.

    `ratio` is the median gap over a bare import of the dataflow. Then a last
    lane starts, with the backlog in front of it: `first_seconds` until its
    first new row, `drained_per_second` what it read while the load went on.
    """

    how: How
    rate: int
    gaps: list[float]
    gap_median: float
    import_seconds: float
    ratio: float
    backlog: int
    first_seconds: float
    drained_seconds: float
    drained_per_second: int
    audit_exit_code: int


class ComebackError(RuntimeError):
    """The log did not go on."""


async def comeback(
    settings: Settings, how: How, rate: int, times: int, backlog: timedelta, seed: int
) -> ComebackFigures:
    """Take a lane away `times` times under `rate` records a second, then let one meet a backlog."""
    async with servers(settings):
        with installation(settings) as made, closing(_Head(made)) as head:
            imported = await _import_seconds(made)
            with _load(made, rate, seed) as sent:
                say(f"{rate:,} records a second; a lane goes {times} times")
                gaps, lane = await _gaps(made, head, how, times)
                await _leave(lane, signal.SIGKILL)
                first, drained, records = await _meet_backlog(made, head, rate, backlog, seed, sent)
            say("auditing, once the relay has given Redis what no lane did")
            audit = await _audit(made, records)
    middle = median(gaps)
    return ComebackFigures(
        how,
        rate,
        [round(gap, 2) for gap in gaps],
        round(middle, 2),
        round(imported, 2),
        round(middle / imported, 2),
        round(rate * backlog.total_seconds()),
        round(first, 2),
        round(drained, 1),
        round(records / drained) if drained else 0,
        audit,
    )


class _Head:
    """How far the log is: the sum of its heads."""

    def __init__(self, settings: Settings) -> None:
        self._connection = psycopg.connect(settings.postgres, autocommit=True)
        self._shards = settings.shards

    def now(self) -> int:
        return sum(read_head(self._connection, shard).position for shard in range(self._shards))

    def is_at_rest(self) -> bool:
        """Whether no lane is connected to write any more."""
        return not lane_sessions(self._connection)

    def close(self) -> None:
        self._connection.close()


async def _import_seconds(settings: Settings) -> float:
    began = time.perf_counter()
    code = await finished("-c", "import dataflows.enrich", environment=inherited(environment_of(settings)))
    if code:
        raise ComebackError(f"dataflows.enrich cannot be imported: exit code {code}")
    return time.perf_counter() - began


async def _gaps(
    settings: Settings, head: _Head, how: How, times: int
) -> tuple[list[float], asyncio.subprocess.Process]:
    lane = await _start(settings)
    await _until(lambda: head.now() > 0)
    gaps: list[float] = []
    for _ in range(times):
        await asyncio.sleep(_SETTLES_SECONDS)
        following = None if how == "kill" else await _start(settings, wait=timedelta(seconds=60))
        if following is not None:
            await asyncio.sleep(_IMPORTED_SECONDS)
        taken_away = asyncio.create_task(_replace(settings, lane, how, following))
        gaps.append(await _longest_stand(head, taken_away))
        lane = taken_away.result()
    return gaps, lane


async def _replace(
    settings: Settings,
    lane: asyncio.subprocess.Process,
    how: How,
    following: asyncio.subprocess.Process | None,
) -> asyncio.subprocess.Process:
    await _leave(lane, signal.SIGTERM if how == "handover" else signal.SIGKILL)
    return following or await _start(settings)


async def _longest_stand(head: _Head, taken_away: "asyncio.Task[asyncio.subprocess.Process]") -> float:
    """The longest time without a new row, from before the lane goes until rows come again."""
    began = moved_at = time.perf_counter()
    before, longest = await asyncio.to_thread(head.now), 0.0
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        rows, now = await asyncio.to_thread(head.now), time.perf_counter()
        if rows != before:
            longest, before, moved_at = max(longest, now - moved_at), rows, now
            if taken_away.done() and now - began > _SETTLES_SECONDS:
                return longest
        elif now - moved_at > _STUCK_AFTER.total_seconds():
            raise ComebackError("the log stands still")


async def _meet_backlog(
    settings: Settings, head: _Head, rate: int, backlog: timedelta, seed: int, sent: "_Sent"
) -> tuple[float, float, int]:
    """Seconds to the first new row, seconds until all is read, and how many records that were."""
    count = round(rate * backlog.total_seconds())
    # A killed lane's last commit may still be under way in the server.
    await _until(head.is_at_rest)
    before = head.now()
    if count:
        say(f"no lane runs; a backlog of {count:,} records comes up")
        await asyncio.to_thread(
            preload, settings.kafka, settings.topic_prefix, settings.shards, count, seed + 7, 0.0
        )
    began = time.perf_counter()
    async with _running_lane(settings):
        await _until(lambda: head.now() > before)
        first = time.perf_counter() - began
        # The load goes on: caught up is when what was sent a moment ago is in the log.
        await _until(lambda: head.now() >= sent.total + count - rate // 10)
        drained = time.perf_counter() - began
        records = head.now() - before
        sent.stop()
        await _until(lambda: head.now() >= sent.total + count)
    return first, drained, records


@asynccontextmanager
async def _running_lane(settings: Settings) -> AsyncIterator[None]:
    lane = await _start(settings)
    try:
        yield
    finally:
        await _leave(lane, signal.SIGTERM)


async def _audit(settings: Settings, records: int) -> int:
    settle = _AUDIT_SETTLES_SECONDS + records // _RELAY_PER_SECOND
    environment = inherited(environment_of(settings))
    relay = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bytewax.run", "dataflows.deliver", env=environment
    )
    try:
        return await finished("-m", "recovery", "audit", "--settle", f"{settle}s", environment=environment)
    finally:
        await _leave(relay, signal.SIGTERM)


async def _start(settings: Settings, wait: timedelta = timedelta()) -> asyncio.subprocess.Process:
    said = msgspec.structs.replace(settings, store_wait=wait)
    store: Path = settings.data / "recovery"
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bytewax.run", "dataflows.enrich", "-r", str(store), "-s", "1", "-b", "0"),
        env=inherited(environment_of(said)),
    )


async def _leave(lane: asyncio.subprocess.Process, how: signal.Signals) -> None:
    if lane.returncode is None:
        lane.send_signal(how)
    await lane.wait()


async def _until(is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + _STUCK_AFTER.total_seconds()
    while not await asyncio.to_thread(is_so):
        if time.monotonic() > ends:
            raise ComebackError(f"nothing more arrived within {_STUCK_AFTER}")
        await asyncio.sleep(_LOOK_SECONDS)


class _Sent:
    """The load that goes on, and how much of it is in Kafka."""

    def __init__(self, settings: Settings, rate: int, seed: int) -> None:
        self.total = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(settings, rate, seed), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self, settings: Settings, rate: int, seed: int) -> None:
        producer = Producer(
            {"bootstrap.servers": settings.kafka, "linger.ms": 5, "enable.idempotence": True, "log_level": 2}
        )
        topic, stamped = f"{settings.topic_prefix}sensor-events", readings(seed)
        began = time.monotonic()
        made = 0
        while not self._ended.wait(_TICK_SECONDS):
            at = datetime.now(UTC)
            due = round((time.monotonic() - began) * rate) - made
            for _ in range(due):
                event = next(stamped)(at)
                place = partition_of(event.match, settings.shards)
                producer.produce(topic, _encode(event), event.match.encode(), place)
            made += due
            producer.poll(0)
            self.total = made
        producer.flush(30)


@contextmanager
def _load(settings: Settings, rate: int, seed: int) -> Iterator[_Sent]:
    sent = _Sent(settings, rate, seed)
    try:
        yield sent
    finally:
        sent.stop()
