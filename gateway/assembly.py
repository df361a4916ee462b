"""The parts of a gateway, put together and run."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Self

from gateway.broadcast import Broadcaster
from gateway.channel import Channel, Channels, Member
from gateway.followers import Followers
from gateway.heartbeat import Heartbeat
from gateway.history import History
from gateway.pump import Pump
from gateway.resume import Resume
from gateway.server import FanServer
from gateway.wire import SocketServer, Wire
from schemas.partitioning import partition_of
from settings import Settings
from storage.log_reads import LogQueries
from storage.match_reads import MatchQueries
from storage.probes import Part, Readiness, probe
from storage.reading import LogReader
from storage.stream_reads import StreamReader


class Gateway:
    """Everything between the log and the Socket.IO server."""

    def __init__(
        self,
        settings: Settings,
        now: Callable[[], datetime],
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        """`now` tells the time, `clock` counts seconds, `chance` spreads retries over [0, 1)."""
        self.sockets = SocketServer()
        self.wire = Wire(self.sockets)
        self._reader = LogReader(settings.postgres, "touchline-gateway")
        self._streams = StreamReader(settings.redis)
        self._shards = settings.shards
        self._heartbeat_every = settings.heartbeat
        log = LogQueries(self._reader)
        channels = Channels(settings.gateway_ring)
        followers = Followers(channels, self._restart)
        self._broadcaster = Broadcaster(channels, self.wire, self._fill_gap)
        self.pump = Pump(log, self._streams, followers, self._broadcaster.wake, clock, chance)
        history = History(log, MatchQueries(self._reader), self._streams, followers.place_of, followers.show)
        self._resume = Resume(
            channels, followers, history, self.wire, self.pump.refresh, settings.shards, chance
        )
        self._heartbeat = Heartbeat(log, self.wire, self._resume.followed, self._shard_of, now)
        FanServer(self.sockets, self._resume, now, clock)

    async def __aenter__(self) -> Self:
        await self._reader.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._reader.__aexit__(kind, error, traceback)
        await self._streams.close()

    async def run(self) -> None:
        """Serve until cancelled; what it raises is a bug."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.pump.run())
            tasks.create_task(self._broadcaster.run())
            tasks.create_task(self._heartbeat.run(self._heartbeat_every))

    async def readiness(self) -> Readiness:
        """Ready once the log was read: with either server alone fans are still served."""
        postgres, redis = await asyncio.gather(
            probe(self._reader.ping, is_required=False), probe(self._streams.ping, is_required=False)
        )
        started = self.pump.started.is_set()
        following = Part(started, "follows the log" if started else "has not read the log yet", 0.0)
        parts = {"postgres": postgres, "redis": redis, "pump": following}
        return Readiness(started and (postgres.ok or redis.ok), parts)

    def _shard_of(self, match: str) -> int:
        return partition_of(match, self._shards)

    def _restart(self, channel: Channel, reason: str) -> None:
        self._resume.resync(channel, reason)

    def _fill_gap(self, channel: Channel, member: Member) -> None:
        self._resume.catch_up(channel, member)
