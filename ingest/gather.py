"""Batches from a stream of single items: what came while the last batch was worked on."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

T = TypeVar("T")


async def gathered(
    source: AsyncIterator[T], most: int, stopping: asyncio.Event
) -> AsyncGenerator[list[T], None]:
    """Yield what `source` brought since the last batch, at least one item and at most `most`.

    Ends when told to stop, after what was read; otherwise it ends as `source`
    does, raising what that raised. Reads ahead by `most` items, then the
    source has to wait. Use it inside `aclosing`: closing ends the reading.
    """
    given, taken = anyio.create_memory_object_stream[T](most)
    reading = asyncio.create_task(_read(source, given))
    watching = asyncio.create_task(_end_when(stopping, reading))
    try:
        async for item in taken:
            yield [item, *_waiting(taken, most - 1)]
        await asyncio.wait([reading])
        if not reading.cancelled():
            reading.result()
    finally:
        reading.cancel()
        watching.cancel()
        taken.close()  # before the wait, which a second cancellation may end
        await asyncio.wait([reading, watching])


async def _end_when(stopping: asyncio.Event, reading: "asyncio.Task[None]") -> None:
    await stopping.wait()
    reading.cancel()


async def _read(source: AsyncIterator[T], given: MemoryObjectSendStream[T]) -> None:
    with given:
        async for item in source:
            await given.send(item)


def _waiting(taken: MemoryObjectReceiveStream[T], most: int) -> list[T]:
    items: list[T] = []
    while len(items) < most:
        try:
            items.append(taken.receive_nowait())
        except (anyio.WouldBlock, anyio.EndOfStream):
            break
    return items
