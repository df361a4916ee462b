"""A source under load: sensor readings over HTTP at a steady rate, from a process of its own.

Bodies are made before the first is sent, so that what is measured does not
share its cores with making them.
"""

import asyncio
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from itertools import islice, pairwise

import aiohttp
import msgspec

from bench.load import readings

# One request carries what came up in this time, as of a stadium's gateway: tracking has 25
# to 50 frames a second. Half of it costs broker and ingest twice the requests.
_TICK = timedelta(milliseconds=20)
_HEADERS = {"Content-Type": "application/x-ndjson"}
_encode = msgspec.json.Encoder().encode


class PushError(RuntimeError):
    """Ingest did not take every record."""


class Load(msgspec.Struct, frozen=True):
    """What to push."""

    url: str
    rate: int  # records a second
    duration: timedelta
    seed: int

    @property
    def records(self) -> int:
        return round(self.rate * self.duration.total_seconds())


async def push(load: Load) -> None:
    """Push all records of a load, each accepted; raise PushError."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        await asyncio.get_running_loop().run_in_executor(pool, _push_alone, load)


def _push_alone(load: Load) -> None:
    asyncio.run(_push(load))


def _bodies(load: Load) -> list[bytes]:
    """One body a tick; those of a rate that does not divide evenly differ by one record."""
    made = (_encode(stamped(datetime.now(UTC))) for stamped in readings(load.seed))
    ticks = round(load.duration / _TICK)
    bounds = [tick * load.records // ticks for tick in range(ticks + 1)]
    return [b"\n".join(islice(made, until - since)) for since, until in pairwise(bounds)]


async def _push(load: Load) -> None:
    waiting: set[asyncio.Task[int]] = set()
    accepted = 0
    bodies = _bodies(load)
    async with aiohttp.ClientSession(headers=_HEADERS, timeout=aiohttp.ClientTimeout(30)) as session:
        began = time.perf_counter()
        for tick, body in enumerate(bodies):
            await asyncio.sleep(began + tick * _TICK.total_seconds() - time.perf_counter())
            if body:
                waiting.add(asyncio.create_task(_post(session, load.url, body)))
            done = {task for task in waiting if task.done()}
            accepted += sum(task.result() for task in done)
            waiting -= done
        accepted += sum(await asyncio.gather(*waiting))
    if accepted != load.records:
        raise PushError(f"{load.records - accepted} of {load.records} records were not accepted")


async def _post(session: aiohttp.ClientSession, url: str, body: bytes) -> int:
    async with session.post(url, data=body) as answer:
        if answer.status != HTTPStatus.ACCEPTED:
            raise PushError(f"ingest answered {answer.status}: {(await answer.text())[:300]}")
        return int((await answer.json())["accepted"])
