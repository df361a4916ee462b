"""The vendor's side of a replay, with kills in between."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from local.replay.recording import Due
from local.replay.sending import Sending, cuts
from local.simulator.feed import Feed

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def forget(_: Sequence[int]) -> None: ...


async def read_all(feed: Feed[int], page_size: int) -> list[bytes]:
    """Read a feed as ingest does, until it says that it has ended."""
    cursor, lines = "", list[bytes]()
    while True:
        page = feed.ask(cursor, page_size)
        lines += page.payloads
        cursor = page.cursor
        if page.is_last and not page.payloads:
            return lines
        if not page.payloads:
            await feed.news(within=10)


async def test_everything_is_said_in_order_and_then_that_it_was_all() -> None:
    due = [Due(0.0, b"%d" % number) for number in range(50)]
    feed: Feed[int] = Feed("abc", forget)

    async def never() -> None:
        raise AssertionError

    sending = asyncio.create_task(Sending(due, feed, [], never, random.Random(1)).run())
    assert await read_all(feed, 7) == [each.line for each in due]
    await sending


async def test_a_kill_waits_until_what_was_said_before_it_was_taken() -> None:
    """A lane that has nothing to do would be killed in vain."""
    due = [Due(0.0, b"%d" % number) for number in range(50)]
    feed: Feed[int] = Feed("abc", forget)
    taken_at_kills: list[int] = []

    async def kill() -> None:
        taken_at_kills.append(feed.taken)

    sending = asyncio.create_task(Sending(due, feed, [10, 33], kill, random.Random(1)).run())
    assert await read_all(feed, 100) == [each.line for each in due]
    await sending
    assert taken_at_kills == [10, 33]


def test_kills_fall_between_lines() -> None:
    for seed in range(50):
        found = cuts(10, 3, random.Random(seed))
        assert found == sorted(set(found))
        assert len(found) == 3
        assert all(0 < cut < 10 for cut in found)


def test_there_are_no_more_kills_than_places_for_them() -> None:
    assert len(cuts(3, 5, random.Random(1))) == 2
    assert cuts(1, 5, random.Random(1)) == []
    assert cuts(0, 5, random.Random(1)) == []
