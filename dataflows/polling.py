"""A Bytewax source that looks at a neighbour again and again, and never waits for it."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Generic, NamedTuple, Protocol, TypeVar

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from sinks.serial_executor import SerialExecutor

X = TypeVar("X")
X_co = TypeVar("X_co", covariant=True)

# A healthy look takes 1 to 2 ms; each wake in between costs a twentieth of that.
_LOOK_TAKES = timedelta(milliseconds=2)


class Found(NamedTuple, Generic[X_co]):
    """What a look found, and how long to wait before the next one."""

    items: Sequence[X_co]
    pause: timedelta


class Looker(Protocol[X_co]):
    """Looks at a neighbour; an outage is a pause, never an error."""

    def look(self) -> Found[X_co]: ...


class _PollingPartition(StatefulSourcePartition[X, None]):
    def __init__(self, executor: SerialExecutor, looker: Looker[X], now: Callable[[], datetime]) -> None:
        self._executor = executor
        self._looker = looker
        self._now = now
        self._looking: Future[Found[X]] | None = None
        self._awake: datetime | None = None

    def next_batch(self) -> Sequence[X]:
        if self._looking is None:
            self._looking = self._executor.start(self._looker.look)
        if not self._looking.done():
            self._awake = self._now() + _LOOK_TAKES
            return []
        found = self._looking.result()
        self._looking = None
        self._awake = self._now() + found.pause
        return found.items

    def next_awake(self) -> datetime | None:
        return self._awake

    def snapshot(self) -> None:
        return None

    def close(self) -> None:
        self._executor.close()


class PollingSource(FixedPartitionedSource[X, None]):
    """Emit what a looker finds, looking on the thread that serves its neighbour.

    Delivery: keeps no state; what was found and not dealt with is found again.
    """

    def __init__(self, executor: SerialExecutor, looker: Looker[X], now: Callable[[], datetime]) -> None:
        self._executor = executor
        self._looker = looker
        self._now = now

    def list_parts(self) -> list[str]:
        """One part: of several workers, one looks."""
        return ["only"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _PollingPartition[X]:
        return _PollingPartition(self._executor, self._looker, self._now)
