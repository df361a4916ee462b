"""`python -m gateway`: serve fans until SIGTERM."""

import asyncio
import contextlib
import gc
import random
import signal
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import uvicorn
import uvloop

import settings
from gateway import application
from gateway.assembly import Gateway
from telemetry import log

# Fans who do not read must not hold up a restart.
_STOP_WITHIN_SECONDS = 5
_BACKLOG = 4_096
_GC_OBJECTS = 50_000


class _PoliteServer(uvicorn.Server):
    """Says goodbye before it closes, and leaves signals to `serve`."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._gateway.wire.say_goodbye("restart", "the gateway restarts; connect again")
        await super().shutdown(sockets)


async def serve(given: settings.Settings) -> None:
    """Serve until SIGTERM or SIGINT; raise what stopped the gateway's own tasks."""
    async with Gateway(
        given, now=lambda: datetime.now(UTC), clock=time.monotonic, chance=random.random
    ) as gateway:
        app = application.create(gateway, settings.ROOT / "web", given.url("api"))
        server = _PoliteServer(_config(app, given.port("gateway")), gateway)

        def stop() -> None:
            server.should_exit = True

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_OBJECTS)
        running = asyncio.create_task(gateway.run())
        running.add_done_callback(lambda _: stop())
        await server.serve()
        if not running.done():
            running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def _config(app: object, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        host="127.0.0.1",
        port=port,
        http="httptools",
        ws="websockets-sansio",
        # Compressing a broadcast once for each fan costs more than all the rest of the gateway.
        ws_per_message_deflate=False,
        ws_ping_interval=None,  # Socket.IO has its own
        backlog=_BACKLOG,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_STOP_WITHIN_SECONDS,
    )


if __name__ == "__main__":
    log.configure()
    uvloop.run(serve(settings.load()))
