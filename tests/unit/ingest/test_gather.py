"""Batches hold what came in the meantime, in order, and nothing is lost at the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from ingest.gather import gathered


class SourceBrokeError(Exception):
    pass


async def numbers(count: int, broken: bool = False) -> AsyncIterator[int]:
    for number in range(count):
        yield number
    if broken:
        raise SourceBrokeError


async def collected(source: AsyncIterator[int], most: int) -> list[list[int]]:
    async with aclosing(gathered(source, most, asyncio.Event())) as batches:
        return [batch async for batch in batches]


@pytest.mark.parametrize("most", [1, 2, 7, 100])
def test_every_item_comes_once_in_order_and_batches_keep_their_bound(most: int) -> None:
    batches = asyncio.run(collected(numbers(25), most))
    assert [item for batch in batches for item in batch] == list(range(25))
    assert all(1 <= len(batch) <= most for batch in batches)


def test_what_came_before_a_failure_is_given_out_before_it_is_raised() -> None:
    async def scenario() -> list[int]:
        seen: list[int] = []

        async def read() -> None:
            async with aclosing(gathered(numbers(5, broken=True), 2, asyncio.Event())) as batches:
                async for batch in batches:
                    seen.extend(batch)

        with pytest.raises(SourceBrokeError):
            await read()
        return seen

    assert asyncio.run(scenario()) == [0, 1, 2, 3, 4]


def test_while_a_batch_is_worked_on_only_one_more_is_read_ahead() -> None:
    read: list[int] = []

    async def watched() -> AsyncIterator[int]:
        async for number in numbers(1_000):
            read.append(number)
            yield number

    async def scenario() -> int:
        async with aclosing(gathered(watched(), 10, asyncio.Event())) as batches:
            await anext(batches)
            for _ in range(200):
                await asyncio.sleep(0)
        return len(read)

    assert asyncio.run(scenario()) <= 22


def test_told_to_stop_it_gives_out_what_was_read_and_ends() -> None:
    async def endless() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    async def scenario() -> list[list[int]]:
        stopping = asyncio.Event()
        seen: list[list[int]] = []
        async with aclosing(gathered(endless(), 10, stopping)) as batches:
            async for batch in batches:
                seen.append(batch)
                stopping.set()
        return seen

    assert asyncio.run(scenario()) == [[1]]
