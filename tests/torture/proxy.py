"""A TCP proxy that can be slow, silent, broken, or lead elsewhere."""

import asyncio
from contextlib import suppress
from typing import Self

_CHUNK = 64 * 1024


class FaultProxy:
    """One edge between two processes; runs in the event loop that opened it."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = 0
        self.target = port  # may change: connections from then on go there
        self.delay = 0.0  # seconds, of each chunk in each direction
        self.refuses = False
        self._flows = asyncio.Event()
        self._flows.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def listening(cls, name: str, target: int) -> Self:
        """A proxy on a free port of loopback."""
        proxy = cls(name, target)
        proxy._server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
        proxy.port = proxy._server.sockets[0].getsockname()[1]
        return proxy

    def swallow(self) -> None:
        """Let nothing through in either direction, and tell nobody."""
        self._flows.clear()

    def cut(self) -> None:
        """Break every connection; new ones are fine."""
        for writer in list(self._open):
            writer.transport.abort()

    def lead_to(self, port: int) -> None:
        """Send everybody to another server."""
        self.target = port
        self.cut()

    def heal(self) -> None:
        self.delay, self.refuses = 0.0, False
        self._flows.set()

    async def close(self) -> None:
        self.heal()
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            if self.refuses:
                raise ConnectionRefusedError
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._open |= ends
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(reader, far_writer))
                both.create_task(self._pass_on(far_reader, writer))
        except asyncio.CancelledError:
            pass  # the proxy is closed, and its server asks how its tasks ended
        finally:
            self._open -= ends
            for end in ends:
                end.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                await self._flows.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(chunk)
                await writer.drain()
            with suppress(OSError, RuntimeError):
                writer.write_eof()
            return
        writer.transport.abort()
