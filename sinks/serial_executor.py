"""One thread for what blocks: a neighbour that hangs holds up its own work and nobody else's."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class SerialExecutor:
    """Does one piece of work after the other, in the order in which they were given.

    What serves one neighbour shares an executor: its clients then need no lock,
    and a look that was asked for after a write sees that write.
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._failure: BaseException | None = None

    def start(self, work: Callable[[], T]) -> "Future[T]":
        """Begin a piece of work as soon as those before it are done; raise what failed in an earlier one."""
        if self._failure is not None:
            raise self._failure
        started = self._pool.submit(work)
        started.add_done_callback(self._note)
        return started

    def close(self) -> None:
        """Drop what has not begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _note(self, done: "Future[T]") -> None:
        if not done.cancelled():
            self._failure = self._failure or done.exception()
