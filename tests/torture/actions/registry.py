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
    needs: frozenset[str]  # what nobody else may harm meanwhile


ACTIONS: dict[str, Action] = {}


# What an action may need for itself: a server with its port and its data folder, a kind of process with its
# stores, what is sent. "lanes" and "load" stand for all of them.
NEEDS = ("postgres", "redis", "kafka", "lanes", "relay", "gateway", "ingest", "edges", "clock", "load")


def action(
    weight: float = 1.0, bound: timedelta = USUAL_BOUND, brokers: int = 1, *, needs: str
) -> Callable[[Do], Do]:
    """Register a function as an action under its own name; `needs`: words of NEEDS.

    It runs at the same time as any other one that needs nothing of these.
    """
    words = frozenset(needs.split())
    assert words <= set(NEEDS)

    def add(do: Do) -> Do:
        help_ = (do.__doc__ or "").partition("\n")[0]
        ACTIONS[do.__name__] = Action(do, weight, bound, help_, brokers, words)
        return do

    return add


def needs_of_all() -> dict[str, frozenset[str]]:
    """The table of what may not run at the same time."""
    return {name: action.needs for name, action in ACTIONS.items()}
