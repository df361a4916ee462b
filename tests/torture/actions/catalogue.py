"""Every action there is; importing their modules is what registers them."""

from tests.torture.actions import (
    disks,
    edges,
    failovers,
    kafka,
    migrations,
    parked_failovers,
    parking,
    processes,
    restores,
    servers,
    topics,
)
from tests.torture.actions.registry import ACTIONS, Action

_REGISTERED = (
    disks,
    edges,
    failovers,
    kafka,
    migrations,
    parked_failovers,
    parking,
    processes,
    restores,
    servers,
    topics,
)
EVERY_ACTION: dict[str, Action] = ACTIONS
