"""Port bases of the tests: workers that run side by side never choose the same."""

import os
import random

from local.ports import BASES, free_base


def a_free_base() -> int:
    """A base on which a whole stack fits, out of this worker's share of them."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return free_base(random.Random(), BASES[worker::workers])
