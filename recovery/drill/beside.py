"""The stack beside the live one: its own Postgres, Redis, lanes and relay; only Kafka is the live one's.

It reads Kafka's raw topics and writes nothing there: its relay fills its own
streams alone, and its lanes' consumers commit no offsets.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from recovery.postgres.conninfo import at_port
from settings import PORT_OFFSETS, ROOT, Settings, environment_for

_STARTS_WITHIN_SECONDS = 60.0
_LOOK_EVERY_SECONDS = 0.05
_STOPS_WITHIN_SECONDS = 30.0
_FIRST_PORT, _LAST_PORT = 20_000, 32_000  # below those of outgoing connections
_LAUNCH = ROOT / "local" / "launch.py"


class BesideFailedError(RuntimeError):
    """A part of the stack beside did not do its work."""

    def __init__(self, part: str, reason: str, log: Path) -> None:
        super().__init__(f"{part} of the drill: {reason}")
        self.part = part
        self.reason = reason
        self.log = log
        self.remedy = f"Its log says more: {log}. The live stack is as it was."


def settings_beside(live: Settings, folder: Path) -> Settings:
    """Settings of a stack beside: the same Kafka topics, everything else its own."""
    base = _free_base()
    return replace(
        live,
        port_base=base,
        data=folder,
        postgres=at_port(live.postgres, base + PORT_OFFSETS["postgres"]),
        redis=f"redis://127.0.0.1:{base + PORT_OFFSETS['redis']}/0",
        backup=live.backup_place,
        deliver_to="streams",
        stop_at_end=False,
    )


def _free_base() -> int:
    """A port base on which Postgres and Redis can listen."""
    start = _FIRST_PORT + os.getpid() % 50 * 200
    bases: list[int] = [*range(start, _LAST_PORT, 200), *range(_FIRST_PORT, start, 200)]
    for base in bases:
        if all(_is_free(base + PORT_OFFSETS[server]) for server in ("postgres", "redis")):
            return base
    raise OSError("no two free ports below 32000 for the drill's servers")


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return listener.connect_ex(("127.0.0.1", port)) != 0


class Ran(NamedTuple):
    """How a program ended: its exit status (negative: the signal), and what it printed."""

    status: int
    out: bytes


class Beside:
    """The processes of one drill; all end with it, also when it is killed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.logs = settings.data / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self._parts: dict[str, subprocess.Popen[bytes]] = {}

    def start_redis(self) -> None:
        """Begin to start an empty Redis, as the local stack does."""
        self._start("redis", ["-m", "local", "up", "--only", "redis"], self.settings)

    def await_redis(self) -> None:
        """Return once it answers; raise BesideFailedError."""
        deadline = time.monotonic() + _STARTS_WITHIN_SECONDS
        while "all up" not in self._log("redis").read_text(errors="replace"):
            self.check()
            if time.monotonic() > deadline:
                raise BesideFailedError("redis", "did not start", self._log("redis"))
            time.sleep(_LOOK_EVERY_SECONDS)

    def start_flows(self) -> int:
        """Start the lanes that the restored stores are of, or one, and the relay; return how many lanes."""
        stores = self.settings.data / "recovery"
        lanes = max(1, sum(1 for path in stores.glob("enrich-*") if path.is_dir()))
        for lane in range(lanes):
            self._start(
                f"enrich-{lane}",
                [
                    "-m",
                    "bytewax.run",
                    "dataflows.enrich",
                    "-r",
                    str(stores / f"enrich-{lane}"),
                    "-s",
                    "1",
                    "-b",
                    "0",
                ],
                replace(self.settings, lane=f"{lane}/{lanes}"),
            )
        self._start("deliver", ["-m", "bytewax.run", "dataflows.deliver"], self.settings)
        return lanes

    def run(self, part: str, arguments: list[str]) -> Ran:
        """Run one of our programs to its end; what it printed is in its log, too."""
        with self._log(part).open("ab") as log:
            done = subprocess.run(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=environment_for(self.settings),
                stdout=subprocess.PIPE,
                stderr=log,
                check=False,
            )
            log.write(done.stdout)
        return Ran(done.returncode, done.stdout)

    def check(self) -> None:
        """Raise BesideFailedError when a part has ended."""
        for part, process in self._parts.items():
            code = process.poll()
            if code is not None:
                raise BesideFailedError(part, f"ended with {code}", self._log(part))

    def stop(self) -> None:
        """Stop all, flows first; never raises."""
        for process in reversed(self._parts.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(_STOPS_WITHIN_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self._parts.clear()

    def _start(self, part: str, arguments: list[str], settings: Settings) -> None:
        with self._log(part).open("ab") as log:
            self._parts[part] = subprocess.Popen(
                [*tied_to_us(), sys.executable, *arguments],
                cwd=ROOT,
                env=environment_for(settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _log(self, part: str) -> Path:
        path = self.logs / f"{part}.log"
        path.touch()
        return path


def tied_to_us(on_our_death: signal.Signals = signal.SIGTERM) -> list[str]:
    """A command that becomes another one, which does not outlive this process."""
    life = ["--parent", str(os.getpid()), "--signal", str(int(on_our_death))]
    return [sys.executable, "-I", "-S", str(_LAUNCH), *life, "--"]
