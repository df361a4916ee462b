"""Cursors of a feed: what was taken, and what comes again."""

import asyncio
from collections.abc import Sequence

import pytest

from local.simulator.feed import Feed, ForeignCursorError

pytestmark = pytest.mark.anyio


class Taken:
    """Remembers what a feed reported."""

    def __init__(self) -> None:
        self.items: list[int] = []

    def __call__(self, items: Sequence[int]) -> None:
        self.items += items


def a_feed(taken: Taken, items: int, run: str = "abc") -> Feed[int]:
    feed: Feed[int] = Feed(run, taken)
    feed.begin(0)
    feed.release([(b"%d" % number, number) for number in range(items)])
    return feed


def test_asking_with_a_cursor_takes_what_lies_before_it() -> None:
    taken = Taken()
    feed = a_feed(taken, 5)
    first = feed.ask("", 3)
    assert first.payloads == [b"0", b"1", b"2"]
    assert taken.items == []
    second = feed.ask(first.cursor, 3)
    assert second.payloads == [b"3", b"4"]
    assert taken.items == [0, 1, 2]


def test_an_older_cursor_gets_the_same_again_and_takes_nothing_twice() -> None:
    """A reader that crashed before it saved its cursor loses nothing."""
    taken = Taken()
    feed = a_feed(taken, 4)
    first = feed.ask("", 2)
    feed.ask(first.cursor, 2)
    assert feed.ask("", 4).payloads == [b"0", b"1", b"2", b"3"]
    assert feed.ask(first.cursor, 2).payloads == [b"2", b"3"]
    assert taken.items == [0, 1]


def test_a_restarted_feed_takes_up_a_cursor_that_is_ahead_of_it() -> None:
    """Its reader was further than what it has said again so far."""
    before = a_feed(Taken(), 3).ask("", 3).cursor
    taken = Taken()
    feed = a_feed(taken, 1)
    assert feed.ask(before, 10).payloads == []
    assert taken.items == [0]
    feed.release([(b"1", 1), (b"2", 2), (b"3", 3)])
    assert taken.items == [0, 1, 2]
    assert feed.ask(before, 10).payloads == [b"3"]


@pytest.mark.parametrize("cursor", ["", "def-0-1", "abc-1-0", "abc-0", "abc-0--1", "abc-0-1; DROP", "🙂"])
def test_a_cursor_of_another_run_is_refused(cursor: str) -> None:
    """It would skip records of this one; only no cursor means the beginning."""
    feed = a_feed(Taken(), 2)
    if not cursor:
        assert feed.ask(cursor, 1).payloads == [b"0"]
        return
    with pytest.raises(ForeignCursorError):
        feed.ask(cursor, 1)


def test_a_cursor_of_the_day_before_leads_to_the_new_day() -> None:
    taken = Taken()
    feed = a_feed(taken, 2)
    end = feed.ask("", 2).cursor
    feed.finish(is_end=False)
    feed.ask(end, 2)
    feed.begin(1)
    feed.release([(b"new", 9)])
    assert feed.ask(end, 2).payloads == [b"new"]
    assert taken.items == [0, 1]


def test_a_day_is_taken_when_it_is_over_and_its_reader_said_so() -> None:
    feed = a_feed(Taken(), 2)
    states = [feed.is_taken]
    end = feed.ask("", 2).cursor
    feed.finish(is_end=False)
    states.append(feed.is_taken)
    feed.ask(end, 2)
    states.append(feed.is_taken)
    assert states == [False, False, True]


def test_only_the_end_of_the_last_day_is_the_end() -> None:
    feed = a_feed(Taken(), 2)
    feed.finish(is_end=False)
    assert not feed.ask("", 2).is_last
    feed.finish(is_end=True)
    assert not feed.ask("", 1).is_last
    assert feed.ask("", 2).is_last


async def test_news_wakes_a_reader_that_waits() -> None:
    feed = a_feed(Taken(), 0)
    waiting = asyncio.create_task(feed.news(within=30))
    await asyncio.sleep(0)
    feed.release([(b"0", 0)])
    assert await waiting


async def test_news_gives_up_after_its_time() -> None:
    assert not await a_feed(Taken(), 0).news(within=0)
