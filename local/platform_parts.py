"""The processes of the platform that the local stack runs: one table."""

import importlib.util
import sys
from datetime import timedelta

from local import probes
from local.child import Child
from local.environment import environment_of
from settings import ROOT, Settings

# A lane listens nowhere. One that cannot start (a wrong setting, an error in a
# step) has said so by then: imports take a second.
LANE_IS_STEADY_AFTER = timedelta(seconds=2)


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
    ]


def simulator(settings: Settings, arguments: tuple[str, ...]) -> Child:
    """Describe an open-ended simulator."""
    return _python("simulator", "local.simulator", settings, ("ingest",), arguments=arguments)


def _lane(settings: Settings, lane: int, lanes: int, servers: tuple[str, ...]) -> Child:
    store = settings.data / "recovery" / f"enrich-{lane}"
    return _bytewax(
        f"enrich-{lane}",
        "dataflows.enrich",
        settings,
        servers,
        # -s 1: a snapshot each second. -b 0: keep none that a resume does not need.
        arguments=("-r", str(store), "-s", "1", "-b", "0"),
        environment={"TOUCHLINE_LANE": f"{lane}/{lanes}"},
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
