"""A wait that ends early when the process is told to stop."""

import asyncio
from datetime import timedelta


async def pause(stopping: asyncio.Event, delay: timedelta) -> None:
    """Wait for `delay`, or until the process stops."""
    if delay <= timedelta(0):
        return
    try:
        async with asyncio.timeout(delay.total_seconds()):
            await stopping.wait()
    except TimeoutError:
        pass
