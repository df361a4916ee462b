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
from cyclopts import App

import settings
from gateway import application
from gateway.assembly import Gateway
from telemetry import log
from telemetry.export import export_metrics

HELP = """\
Serve fans over Socket.IO, and the page itself, at http://127.0.0.1:28080 (TOUCHLINE_PORT_BASE + 80).

Reads the live streams of Redis, and Postgres for what they no longer hold. It keeps nothing
of its own: a fan who reconnects anywhere with `since: {generation, seq, chain}` goes on where
they were. Stop with Ctrl-C or SIGTERM: fans are told to connect again.

Try it, with the local stack up (`./dev up`), in a browser or with a stock client:

    socket.emit("join", {match: "m-1"}, ({image}) => ...)      // then "events", in the order of seq
    socket.emit("backfill", {match: "m-1", generation: 1, after_seq: 7}, ({events}) => ...)

Every answer and message carries `chain`, which stands for the log up to its last event. Hand it
back beside `seq`: who has seen what a failover took away gets a fresh image then, and says nothing
wrong. A client that leaves it out is served by its numbers alone.

Settings are variables: TOUCHLINE_HEARTBEAT, TOUCHLINE_GATEWAY_RING and the addresses of the
servers; `.env.example` explains each.
"""

app = App(name="python -m gateway", help=HELP, help_format="markdown", version_flags=[])

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
        served = application.create(gateway, settings.ROOT / "web", given.url("api"))
        server = _PoliteServer(_config(served, given.port("gateway")), gateway)

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


def _config(served: object, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        served,  # type: ignore[arg-type]
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


@app.default
def gateway() -> None:
    log.configure()
    given = settings.load()
    export_metrics(given, "gateway")
    uvloop.run(serve(given))


if __name__ == "__main__":
    app()
