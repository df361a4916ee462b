"""What tells a fan, while nothing happens, that nothing was missed."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from gateway import messages
from gateway.wire import Frame, Wire
from storage.log_reads import MatchHead
from storage.reading import LogUnavailableError


class Heads(Protocol):
    """The log, as heartbeats need it."""

    async def match_heads(self, shard_of: Mapping[str, int]) -> dict[str, MatchHead]: ...


class Heartbeat:
    """Sends each fan the last seq of the matches it follows.

    Read from the log and not from the gateway's own cursor: a gateway that is
    stuck must not tell its fans that all is well. While the log is out of
    reach the beat comes without seqs.
    """

    def __init__(
        self,
        heads: Heads,
        wire: Wire,
        followed: Mapping[str, set[str]],
        shard_of: Callable[[str], int],
        clock: Callable[[], datetime],
    ) -> None:
        """`followed` holds the matches of each client."""
        self._heads = heads
        self._wire = wire
        self._followed = followed
        self._shard_of = shard_of
        self._clock = clock

    async def run(self, every: timedelta) -> None:
        """Beat until cancelled; what it raises is a bug."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + every.total_seconds(), loop.time())
            await asyncio.sleep(due - loop.time())
            await self.beat()

    async def beat(self) -> None:
        """Send one beat to every client."""
        followed = {client: frozenset(matches) for client, matches in self._followed.items()}
        heads = await self._read(frozenset().union(*followed.values()))
        frames: dict[frozenset[str], Frame] = {}  # fans of the same matches get the same bytes
        for client, matches in followed.items():
            if (frame := frames.get(matches)) is None:
                known = {match: heads[match] for match in sorted(matches) if match in heads}
                told = messages.heartbeat(self._clock(), known)
                frame = frames[matches] = self._wire.encode("heartbeat", told)
            await self._wire.send(client, frame)

    async def _read(self, matches: frozenset[str]) -> dict[str, MatchHead]:
        if not matches:
            return {}
        try:
            return await self._heads.match_heads({match: self._shard_of(match) for match in matches})
        except LogUnavailableError:
            return {}
