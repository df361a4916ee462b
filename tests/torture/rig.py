"""The platform under torture: real servers, real processes, a fault proxy on every edge between them."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
from confluent_kafka import KafkaException
from msgspec.structs import replace as with_changes
from redis import Redis

from local import platform_parts
from local.child import Child, NotReadyError, State
from local.installation import prepare
from local.ports import check_free
from local.servers import kafka, postgres, redis
from local.spawn import spawn
from local.stack import running
from local.supervise import Supervisor
from local.watch import Watch
from recovery.audit.servers import CannotRunError
from settings import ROOT, Settings
from tests.torture.crash_points import FOLDER, PART, SABOTAGE
from tests.torture.load import Load
from tests.torture.proxy import FaultProxy
from tests.torture.witness import Witness

SHARDS = 4
LANES = 2
PARTS = ("ingest", "enrich-0", "enrich-1", "deliver", "gateway")
INSIDE = Path(__file__).parent / "inside"
_LOOKS_EVERY_SECONDS = 0.02
_ASKS_EVERY_SECONDS = 0.2

Errand = Callable[[], None]
Say = Callable[[str], None]


class NotInTimeError(RuntimeError):
    """Something that a step waits for did not come about."""


def environment_under_torture(folder: Path, part: str, sabotage: str = "") -> dict[str, str]:
    """What lets `inside/sitecustomize.py` into a process."""
    return {
        FOLDER: str(folder),
        PART: part.partition("-")[0],
        SABOTAGE: sabotage,
        "PYTHONPATH": os.pathsep.join((str(INSIDE), str(ROOT))),
    }


class Rig:
    """What the actions work on. Everything runs in this process's event loop or is its child."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        supervisor: Supervisor,
        say: Say,
        patience: float,
        brokers: Sequence[str] = ("kafka",),
    ) -> None:
        self.brokers = tuple(brokers)  # by number
        self.settings = settings  # straight to the servers: for the checker and the load
        self.folder = folder
        self.say = say
        self.patience = patience  # how many times as slow as an idle machine this one may be
        self.proxies: dict[str, FaultProxy] = {}  # "enrich-0 to postgres"
        self.errands: dict[str, list[Errand]] = {}  # done before the next start of a part
        self.violations: list[tuple[str, str]] = []  # promise, what was seen
        self.strays: dict[str, asyncio.subprocess.Process] = {}  # second lanes, by lane
        self.witness = Witness(settings)
        self.load: Load  # set before the first action
        self._supervisor = supervisor
        self._second_lanes: dict[str, Child] = {}

    # -- processes

    def watch(self, part: str) -> Watch:
        return self._supervisor.watches[part]

    def pid(self, part: str) -> int | None:
        """The process that does the work of a part: a second lane counts when the first gave way."""
        watch, stray = self.watch(part), self.strays.get(part)
        if watch.state is not State.UP and stray is not None and stray.returncode is None:
            return stray.pid
        return watch.pid

    def signal(self, part: str, number: signal.Signals) -> bool:
        """Send a signal to a part; False when it does not run."""
        pid = self.pid(part)
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return True

    def family(self, part: str) -> Iterator[int]:
        """A process and its children: Postgres's backends have groups of their own."""
        pid = self.pid(part)
        if pid is not None:
            with suppress(psutil.NoSuchProcess):
                yield from [process.pid for process in psutil.Process(pid).children(recursive=True)]
            yield pid

    async def kill(self, part: str) -> None:
        """SIGKILL, and wait until it is gone."""
        pid = self.pid(part)
        if self.signal(part, signal.SIGKILL):
            await self.until(lambda: self.pid(part) != pid, 10, f"{part} to be gone")

    async def until_up(self, part: str, seconds: float = 60) -> None:
        await self.until(
            lambda: self.pid(part) is not None,
            seconds,
            f"{part} to run",
        )

    async def until(self, predicate: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for something of this process; raise NotInTimeError."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds * self.patience
        while not predicate():
            if clock() > deadline:
                raise NotInTimeError(f"waited {seconds * self.patience:g} s for {what}")
            await asyncio.sleep(_LOOKS_EVERY_SECONDS)

    async def until_told(self, question: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for something that a server says, who may not answer for a while; raise NotInTimeError."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds * self.patience
        while clock() < deadline:
            with suppress(KafkaException, psycopg.OperationalError, CannotRunError):
                if await asyncio.to_thread(question):
                    return
            await asyncio.sleep(_ASKS_EVERY_SECONDS)
        raise NotInTimeError(f"waited {seconds * self.patience:g} s for {what}")

    async def restart(self, part: str, errand: Errand) -> None:
        """Kill a part, do something while it is down, and let it come back."""
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def do_it() -> None:
            try:
                errand()
            finally:
                loop.call_soon_threadsafe(done.set)

        self.errands.setdefault(part, []).append(do_it)
        await self.kill(part)
        waiting = self.watch(part).pid
        if waiting is not None:  # it gave way to what was killed, and waits for its turn
            with suppress(ProcessLookupError):
                os.kill(waiting, signal.SIGKILL)
        await self.until(done.is_set, 60, f"what is done while {part} is down")
        await self.until_up(part)

    async def until_serves(self, server: str, seconds: float = 60) -> None:
        """Wait until a server answers its probe again."""
        probe = self.watch(server).child.probe
        async with asyncio.timeout(seconds * self.patience):
            while True:
                with suppress(NotReadyError):
                    await probe()
                    return
                await asyncio.sleep(_LOOKS_EVERY_SECONDS)

    def forget_streams(self) -> None:
        """Delete every live stream, so that the relay has work."""
        with Redis.from_url(self.settings.redis, socket_timeout=5) as server:
            for name in list(server.scan_iter("ev:*")):
                server.delete(name)

    async def start_second_lane(self, part: str) -> None:
        """Another lane on the partitions of a lane that is up, with a store of its own."""
        child, before = self._second_lanes[part], self.strays.get(part)
        if before is not None and before.returncode is None:
            # The lane has its shards again, which the one before may not know yet.
            before.kill()
            await before.wait()
        self.strays[part] = await spawn(child, self.folder / f"{child.name}.log")

    def store(self, part: str) -> Path:
        return self.settings.data / "recovery" / part

    # -- how it is made

    def running_errands(self, child: Child) -> Child:
        """The child, with what was put into `errands` done before each start."""

        def before() -> None:
            if child.before is not None:
                child.before()
            while errands := self.errands.get(child.name):
                errands.pop(0)()

        return replace(child, before=before)

    def parts(self) -> list[Child]:
        """The platform's processes, each with edges of its own."""
        children: list[Child] = []
        for name in PARTS:
            needs = (*self.brokers, "postgres", "redis")
            described = platform_parts.children(self.settings_of(name), LANES, needs)
            (child,) = [child for child in described if child.name == name]
            child = _under_torture(child, self.folder)
            children.append(self.running_errands(child))
            if name.startswith("enrich"):
                self._second_lanes[name] = _second(child, self.store(name))
        return children

    def settings_of(self, part: str) -> Settings:
        """What a part is told: the proxies' ports instead of the servers'."""

        def through(url: str, server: str) -> str:
            port = self.proxies[f"{part} to {server}"].port
            where = urlsplit(url)
            user = f"{where.username}@" if where.username else ""
            return urlunsplit(where._replace(netloc=f"{user}127.0.0.1:{port}"))

        return with_changes(
            self.settings,
            kafka=",".join(f"127.0.0.1:{self.proxies[edge_to(broker)].port}" for broker in self.brokers),
            postgres=through(self.settings.postgres, "postgres"),
            redis=through(self.settings.redis, "redis"),
        )


def edge_to(broker: str) -> str:
    """The edge to a broker: one for all, because a broker names one address to everybody."""
    return f"all to {broker}"


def _under_torture(child: Child, folder: Path) -> Child:
    added = environment_under_torture(folder, child.name)
    return replace(child, environment={**child.environment, **added})


def _second(child: Child, store: Path) -> Child:
    argv = tuple(f"{word}-second" if word == str(store) else word for word in child.argv)
    return replace(child, name=f"{child.name}-second", argv=argv)


@asynccontextmanager
async def running_rig(
    settings: Settings,
    folder: Path,
    say: Say,
    patience: float = 1.0,
    brokers: int = 1,
) -> AsyncIterator[Rig]:
    """Start servers and platform; stop all at the end."""
    settings = with_changes(settings, shards=SHARDS)
    async with running(settings, brokers, say, lambda _: None) as stack:
        names = ["kafka"] if brokers == 1 else [f"kafka-{broker}" for broker in range(brokers)]
        rig = Rig(stack.settings, folder, stack.supervisor, say, patience, names)
        try:
            await _open_edges(rig)
            outside = [rig.proxies[edge_to(broker)].port for broker in names]
            children = await asyncio.to_thread(kafka.children, rig.settings, brokers, say, outside)
            servers = [*children, postgres.child(rig.settings), redis.child(rig.settings)]
            await stack.start([rig.running_errands(child) for child in servers])
            await asyncio.to_thread(prepare, rig.settings, brokers)
            children = rig.parts()
            check_free(children)
            await stack.start(children)
            yield rig
        finally:
            for stray in rig.strays.values():
                if stray.returncode is None:
                    stray.kill()
                    await stray.wait()
            for watch in stack.supervisor.watches.values():
                if watch.pid is not None:
                    with suppress(ProcessLookupError):
                        os.kill(watch.pid, signal.SIGCONT)
            await stack.supervisor.stop()
            for proxy in rig.proxies.values():
                await proxy.close()


async def _open_edges(rig: Rig) -> None:
    async def open_one(name: str, port: int) -> None:
        rig.proxies[name] = await FaultProxy.listening(name, port)

    for number, broker in enumerate(rig.brokers):
        await open_one(edge_to(broker), kafka.broker_ports(rig.settings, number)[0] + kafka.OUTSIDE)
    for part in PARTS:
        for server in ("postgres", "redis"):
            await open_one(f"{part} to {server}", rig.settings.port(server))
