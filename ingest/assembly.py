"""Put the adapters of one process together, run them, and let them finish."""

import asyncio
import random
import signal
import socket
import time
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import uvicorn

from ingest import poll, push, stream, vendors
from ingest.cursor import CursorFile
from ingest.health import KafkaProbe, health_routes
from ingest.intake import Intake
from ingest.link import Link
from ingest.poll import BroadcastPoll
from ingest.producer import RecordProducer
from ingest.push import SensorPush
from ingest.stream import SocialStream
from ingest.tally import Tally
from resilience.backoff import Backoff
from resilience.rate_limit import TokenBucket
from settings import Settings, SettingsError
from telemetry.log import Log

INGEST_STARTED = "ingest.started"
INGEST_STOPPED = "ingest.stopped"

ADAPTERS = (push.SOURCE, poll.SOURCE, stream.SOURCE)

# Together below the 10 s after which the local supervisor kills.
_ADAPTERS_FINISH_WITHIN = timedelta(seconds=5)
_RECORDS_FINISH_WITHIN = timedelta(seconds=3)
# A feed that is back is asked within 5 s, and is not hammered while it is away.
_FIRST_RETRY, _LONGEST_RETRY = timedelta(milliseconds=200), timedelta(seconds=5)
_POLL_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
# A stream that is silent for longer is opened again: the other side may be gone unsaid.
_STREAM_TIMEOUT = httpx.Timeout(10.0, read=60.0)
# A stadium has some hundred sensors; what comes beyond is answered 503.
_MOST_CONNECTIONS = 4_096


def adapters_of(settings: Settings) -> list[str]:
    """The adapters to run; raise SettingsError for a name or a format that does not exist."""
    named = [name.strip() for name in settings.ingest_adapters.split(",") if name.strip()]
    if not named or not set(named) <= set(ADAPTERS):
        complaint = f"{settings.ingest_adapters!r}: name one or more of {', '.join(ADAPTERS)}"
        raise SettingsError("TOUCHLINE_INGEST_ADAPTERS", complaint)
    if settings.broadcast_format not in vendors.known():
        unknown = vendors.UnknownVendorError(settings.broadcast_format)
        raise SettingsError("TOUCHLINE_BROADCAST_FORMAT", str(unknown))
    return named


class Ingest:
    """One process of ingest: its adapters around one producer."""

    def __init__(self, settings: Settings, listener: socket.socket | None, until_end: bool = False) -> None:
        """`listener` takes the pushes of the adapter `sensors`; without that adapter there is none."""
        self._settings = settings
        self._adapters = adapters_of(settings)
        self._listener = listener
        self._until_end = until_end
        self._tally = Tally()
        self._links = [Link("kafka", settings.kafka, time.monotonic)]
        self._log = Log("ingest")

    async def run(self) -> None:
        """Run until SIGTERM, SIGINT or the end of the feed; then finish what was begun."""
        stopping = asyncio.Event()
        producer = RecordProducer(self._settings.kafka, self._settings.topic_prefix, self._links[0])
        self._log.info(INGEST_STARTED, adapters=",".join(self._adapters), kafka=self._settings.kafka)
        try:
            with _signals_set(stopping):
                async with AsyncExitStack() as clients:
                    await self._run_adapters(producer, stopping, clients)
        finally:
            left = await producer.close(_RECORDS_FINISH_WITHIN)
            self._log.info(INGEST_STOPPED, unacknowledged=left, **self._tally.report())

    async def _run_adapters(
        self, producer: RecordProducer, stopping: asyncio.Event, clients: AsyncExitStack
    ) -> None:
        feeds: list[Coroutine[Any, Any, None]] = []
        settings = self._settings
        if poll.SOURCE in self._adapters:
            client = await clients.enter_async_context(_client(settings.broadcast_url, _POLL_TIMEOUT))
            feeds.append(self._run_to_end(self._broadcast(producer, client), stopping))
        if stream.SOURCE in self._adapters:
            client = await clients.enter_async_context(_client(settings.social_url, _STREAM_TIMEOUT))
            feeds.append(self._social(producer, client).run(stopping))
        # After the feeds: its readiness shows their links.
        server = self._server(producer)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(feed) for feed in feeds]
            if self._listener is not None:
                running.append(tasks.create_task(server.serve(sockets=[self._listener])))
            await stopping.wait()
            server.should_exit = True
            await asyncio.wait(running, timeout=_ADAPTERS_FINISH_WITHIN.total_seconds())
            for task in running:
                task.cancel()

    def _server(self, producer: RecordProducer) -> uvicorn.Server:
        settings, kafka = self._settings, self._links[0]
        sensors = SensorPush(
            producer.send, self._bucket(), self._tally, settings.shards, _now, settings.ingest_body_limit
        )
        probe = KafkaProbe(producer, kafka, self._adapters, settings.shards, time.monotonic)
        routes = [sensors.route(), *health_routes(probe, self._links, self._tally)]
        return _Server(
            uvicorn.Config(
                push.application(routes),
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=_MOST_CONNECTIONS,
                timeout_graceful_shutdown=int(_ADAPTERS_FINISH_WITHIN.total_seconds()) - 1,
            )
        )

    async def _run_to_end(self, feed: BroadcastPoll, stopping: asyncio.Event) -> None:
        await feed.run(stopping, self._until_end)
        stopping.set()  # the feed has ended, and it was all there is to do

    def _broadcast(self, producer: RecordProducer, client: httpx.AsyncClient) -> BroadcastPoll:
        settings = self._settings
        return BroadcastPoll(
            client,
            settings.broadcast_url,
            settings.broadcast_format,
            self._intake(poll.SOURCE, producer),
            self._cursor(poll.SOURCE, settings.broadcast_url),
            self._link(poll.SOURCE, settings.broadcast_url),
            _backoff(),
            settings.broadcast_interval,
        )

    def _social(self, producer: RecordProducer, client: httpx.AsyncClient) -> SocialStream:
        url = self._settings.social_url
        return SocialStream(
            client,
            url,
            self._intake(stream.SOURCE, producer),
            self._cursor(stream.SOURCE, url),
            self._link(stream.SOURCE, url),
            _backoff(),
        )

    def _intake(self, source: str, producer: RecordProducer) -> Intake:
        return Intake(source, producer.send, self._bucket(), self._tally, self._settings.shards, _now)

    def _bucket(self) -> TokenBucket:
        return TokenBucket(self._settings.ingest_rate, self._settings.ingest_burst, time.monotonic)

    def _cursor(self, source: str, url: str) -> CursorFile:
        return CursorFile(self._settings.data / "ingest", source, url)

    def _link(self, source: str, url: str) -> Link:
        where = httpx.URL(url).copy_with(query=None, userinfo=b"")  # a key may stand in either
        link = Link(source, str(where), time.monotonic)
        self._links.append(link)
        return link


class _Server(uvicorn.Server):
    """uvicorn, with the signals left to us: feeds and producer have to stop too."""

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        return nullcontext()


@contextmanager
def _signals_set(stopping: asyncio.Event) -> Iterator[None]:
    """Let SIGTERM and SIGINT ask to stop; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)

    def stop() -> None:
        stopping.set()
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _client(url: str, timeout: httpx.Timeout) -> httpx.AsyncClient:
    # A proxy of the environment is not for loopback.
    is_local = httpx.URL(url).host in ("127.0.0.1", "localhost", "::1")
    return httpx.AsyncClient(timeout=timeout, trust_env=not is_local)


def _backoff() -> Backoff:
    return Backoff(_FIRST_RETRY, _LONGEST_RETRY, random.random)


def _now() -> datetime:
    return datetime.now(UTC)
