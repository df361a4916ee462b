"""Every action by its name."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import NamedTuple

from tests.torture.rig import Rig

Do = Callable[[Rig, Random], Awaitable[None]]

# From the healing of a fault to the first new event of every shard at a fan. A
# lane that ends is back in 4 s here, and after many deaths in a row it is started
# again after 10 s. One that gave way comes 30 s later where the other one hangs.
USUAL_BOUND = timedelta(seconds=45)


class NotReachedError(RuntimeError):
    """An action found nothing to do its harm to; it counts as not run."""


class Action(NamedTuple):
    """A kind of harm."""

    do: Do
    weight: float
    bound: timedelta
    help: str
    brokers: int  # as many as it needs


ACTIONS: dict[str, Action] = {}


def action(weight: float = 1.0, bound: timedelta = USUAL_BOUND, brokers: int = 1) -> Callable[[Do], Do]:
    """Register a function as an action under its own name."""

    def add(do: Do) -> Do:
        ACTIONS[do.__name__] = Action(do, weight, bound, (do.__doc__ or "").partition("\n")[0], brokers)
        return do

    return add
