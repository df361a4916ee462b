"""The processes of the platform that the local stack runs: one table."""

import importlib.util
import sys
from dataclasses import replace
from datetime import timedelta

from local import probes
from local.child import Child
from local.environment import environment_of
from settings import ROOT, Settings

# A lane listens nowhere. One that cannot start (a wrong setting, an error in a
# step) has said so by then: imports take a second.
LANE_IS_STEADY_AFTER = timedelta(seconds=2)
# For a process that hangs, and still has the session with which it took the shards.
_GIVES_WAY_FOR = "30s"


class MissingPartError(RuntimeError):
    """A process of the platform has no code here."""

    def __init__(self, module: str) -> None:
        super().__init__(f"there is no module {module!r} in this checkout, so its process cannot start")
        self.module = module


def check_modules() -> None:
    """Raise MissingPartError for the first process that has no code here.

    Asked before anything starts: a process without its module would only be
    started again and again.
    """
    for module in ("ingest", "dataflows.enrich", "dataflows.deliver", "gateway", "api", "local.simulator"):
        if not _exists(module):
            raise MissingPartError(module)


def children(settings: Settings, lanes: int, servers: tuple[str, ...]) -> list[Child]:
    """Describe the platform's processes."""
    enrich = [_lane(settings, lane, lanes, servers) for lane in range(lanes)]
    return [
        _python("ingest", "ingest", settings, servers),
        *enrich,
        _bytewax("deliver", "dataflows.deliver", settings, servers),
        _python("gateway", "gateway", settings, servers),
        _python("api", "api", settings, servers),
        _backup(settings, servers),
    ]


def simulator(settings: Settings, arguments: tuple[str, ...]) -> Child:
    """Describe an open-ended simulator."""
    return _python("simulator", "local.simulator", settings, ("ingest",), arguments=arguments)


def _lane(settings: Settings, lane: int, lanes: int, servers: tuple[str, ...]) -> Child:
    store = settings.data / "recovery" / f"enrich-{lane}"
    child = _bytewax(
        f"enrich-{lane}",
        "dataflows.enrich",
        settings,
        servers,
        # -s 1: a snapshot each second. -b 30: and those of the last half minute stay, so that a
        # backup copies all stores at one cut however busy the machine is, and a store can rewind.
        # With 8 shards that is 744 rows and 8 MB at most, with 64 6,000 rows; collecting takes 2 and 9 ms.
        arguments=("-r", str(store), "-s", "1", "-b", "30"),
        environment={"TOUCHLINE_LANE": f"{lane}/{lanes}"},
    )
    # It runs as the lane once it has the store; before, it imports or waits for its turn.
    return replace(
        child, probe=probes.holding(store), after_giving_way={"TOUCHLINE_TURN_WAIT": _GIVES_WAY_FOR}
    )


def _backup(settings: Settings, servers: tuple[str, ...]) -> Child:
    """Recovery stores, each minute, the last hour of them: 40 ms of a core at a time, 60 MB of memory."""
    return _recovery("backup", settings, servers, "backup", "run", "--every", "60s", "--keep", "60")


def archive(settings: Settings, servers: tuple[str, ...]) -> Child:
    """Every commit of the server, a moment after it, and a base backup each six hours.

    Of the server, not of an installation: two would take its log from each
    other, so whoever runs the server starts it.
    """
    # The first a minute after the start, if none is fresh: until then the machine has enough to do.
    rhythm = ("--backup-every", "6h", "--keep", "4", "--first-after", "1m")
    return _recovery("archive", settings, servers, "postgres", "archive", *rhythm)


def audit(settings: Settings, servers: tuple[str, ...]) -> Child:
    """Holds the live streams against the log, two seconds after two seconds, and says what is missing."""
    return _recovery("audit", settings, servers, "audit", "--follow")


def _recovery(name: str, settings: Settings, needs: tuple[str, ...], *arguments: str) -> Child:
    return Child(
        name=name,
        argv=(sys.executable, "-m", "recovery", *arguments),
        folder=ROOT,
        needs=needs,
        environment=environment_of(settings),
        steady_after=LANE_IS_STEADY_AFTER,
    )


def _bytewax(
    name: str,
    flow: str,
    settings: Settings,
    needs: tuple[str, ...],
    arguments: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
) -> Child:
    return Child(
        name=name,
        argv=(sys.executable, "-m", "bytewax.run", flow, *arguments),
        folder=ROOT,
        needs=needs,
        environment={**environment_of(settings), **(environment or {})},
        steady_after=LANE_IS_STEADY_AFTER,
    )


def _python(
    name: str,
    module: str,
    settings: Settings,
    needs: tuple[str, ...],
    arguments: tuple[str, ...] = (),
) -> Child:
    return Child(
        name=name,
        argv=(sys.executable, "-m", module, *arguments),
        folder=ROOT,
        ports=(settings.port(name),),
        needs=needs,
        environment=environment_of(settings),
        probe=probes.http(f"{settings.url(name)}/health/ready"),
        stop_within=timedelta(seconds=10),
    )


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even its package
        return False
