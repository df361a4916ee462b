"""Hold a process down, stop one for a while, kill a server: what several actions do on their way."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from tests.torture.rig import Rig

_HELD_AT_MOST_SECONDS = 180
BeforeItStarts = Callable[[Callable[[], None]], None]


@asynccontextmanager
async def held_down(rig: Rig, part: str) -> AsyncIterator[BeforeItStarts]:
    """Kill a part and keep it down; what the caller hands over is done before it starts again."""
    released = asyncio.Event()
    loop = asyncio.get_running_loop()
    errands: list[Callable[[], None]] = []

    def wait() -> None:
        asyncio.run_coroutine_threadsafe(released.wait(), loop).result(_HELD_AT_MOST_SECONDS)
        for errand in errands:
            errand()

    rig.errands.setdefault(part, []).append(wait)
    try:
        await rig.kill(part)
        yield errands.append
    finally:
        released.set()
    await rig.until_up(part)
    if part in (*rig.brokers, "postgres", "redis"):
        await rig.until_serves(part)


async def pause_server(rig: Rig, server: str, seconds: float) -> None:
    """SIGSTOP a server and its children for seconds."""
    family = list(rig.family(server))
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


async def signal_and_return(rig: Rig, server: str, number: signal.Signals) -> None:
    """End a server by a signal, and wait until it serves again."""
    pid = rig.pid(server)
    if rig.signal(server, number):
        await rig.until(lambda: rig.pid(server) != pid, 40, f"{server} to end")
    await rig.until_up(server)
    await rig.until_serves(server)
