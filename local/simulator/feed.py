"""What an upstream has said so far, and how far its reader has taken it.

A cursor names the place before an item; asking with it says that everything
before it was taken. Cursors are `<run>-<day>-<index>`: made again from the
same seed and start, they mean the same.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_CURSOR = re.compile(r"([0-9a-f]+)-(\d{1,9})-(\d{1,12})")


class ForeignCursorError(LookupError):
    """A cursor is of another run, or of none."""

    def __init__(self, cursor: str) -> None:
        super().__init__(
            f"{cursor[:80]!r} is no cursor of this feed; ask without one to read from its beginning"
        )
        self.cursor = cursor


class Page(NamedTuple):
    """Some items in order and where they end."""

    payloads: Sequence[bytes]
    cursor: str  # to ask for what follows
    follows: int  # the same as an index within the day
    is_last: bool  # nothing will follow it, ever


class Feed(Generic[T]):
    """The items of a day, kept for as long as it lasts.

    Delivery: at least once; a reader that comes back with an older cursor of
    the day gets everything after it again. `on_taken` gets what each item
    carries, once and in order, when the reader says it has it.
    """

    def __init__(self, run: str, on_taken: Callable[[Sequence[T]], None]) -> None:
        self._run = run
        self._on_taken = on_taken
        self._day = 0
        self._payloads: list[bytes] = []
        self._carried: list[T] = []
        self._asked_up_to = 0  # may lie ahead of the items while a restarted feed catches up
        self._reported = 0
        self._is_day_over = False
        self._is_ended = False
        self._news = asyncio.Event()

    @property
    def day(self) -> int:
        return self._day

    @property
    def is_day_over(self) -> bool:
        """Whether nothing more comes before the next day."""
        return self._is_day_over

    @property
    def is_taken(self) -> bool:
        """Whether the reader has all of a day that is over."""
        return self._is_day_over and self._reported == len(self._payloads)

    @property
    def taken(self) -> int:
        """How many of the day's items the reader has."""
        return self._reported

    def begin(self, day: int) -> None:
        """Forget the day before, which was taken, and start another."""
        self._day = day
        self._payloads, self._carried = [], []
        self._asked_up_to = self._reported = 0
        self._is_day_over = False
        self.wake()

    def release(self, items: Sequence[tuple[bytes, T]]) -> None:
        """Say some more."""
        if not items:
            return
        self._payloads += [payload for payload, _ in items]
        self._carried += [carried for _, carried in items]
        self._report()
        self.wake()

    def finish(self, is_end: bool) -> None:
        """Say that the day is over, and with `is_end` that no other follows."""
        self._is_day_over, self._is_ended = True, is_end
        self.wake()

    def ask(self, cursor: str, limit: int) -> Page:
        """What follows a cursor (empty: the beginning); raise ForeignCursorError.

        Marks what lies before it as taken.
        """
        index = self._index_of(cursor)
        self._asked_up_to = max(self._asked_up_to, index)
        self._report()
        return self.peek(index, limit)

    def peek(self, index: int, limit: int) -> Page:
        """What follows an index of the day, without marking anything."""
        payloads = self._payloads[index : index + limit]
        after = index + len(payloads)
        return Page(payloads, self.cursor_of(after), after, self._is_ended and after >= len(self._payloads))

    def cursor_of(self, index: int) -> str:
        return f"{self._run}-{self._day}-{index}"

    async def news(self, within: float) -> bool:
        """Wait until something changes, at most `within` seconds; return whether it did."""
        try:
            async with asyncio.timeout(within):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    def wake(self) -> None:
        """Wake those who wait for news now; later ones wait for what comes later."""
        self._news.set()
        self._news = asyncio.Event()

    def _index_of(self, cursor: str) -> int:
        if not cursor:
            return 0
        found = _CURSOR.fullmatch(cursor)
        if found is None or found[1] != self._run or int(found[2]) > self._day:
            raise ForeignCursorError(cursor)
        return int(found[3]) if int(found[2]) == self._day else 0

    def _report(self) -> None:
        taken = min(self._asked_up_to, len(self._carried))
        if taken > self._reported:
            newly, self._reported = self._carried[self._reported : taken], taken
            self._on_taken(newly)
            self.wake()
