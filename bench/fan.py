"""A fan under measurement: a stock Socket.IO client in a process of its own.

`python -m bench.fan URL IDS_BEGIN EXPECTED` says "ready" once it follows its
matches, and prints what it saw when all is there.
"""

import asyncio
import contextlib
import sys
import time
from datetime import datetime
from typing import Any

import msgspec
import socketio

from bench.load import match_name

# What one fan follows of all matches: more would measure how fast Python's client parses.
FOLLOWED = 4
READY = b"ready\n"
_ARRIVES_WITHIN = 120.0
_LISTENS_ON = 0.5  # for what should not come any more


class Seen(msgspec.Struct):
    """Milliseconds since their acceptance, of each event that was seen, in order."""

    to_log: list[float] = []
    to_client: list[float] = []


class _Fan:
    def __init__(self, ids_begin: str, expected: int) -> None:
        self.seen = Seen()
        self.has_all = asyncio.Event()
        self._ids_begin = ids_begin
        self._expected = expected

    def events(self, message: dict[str, Any]) -> None:
        now = time.time()
        for live in message["events"]:
            if not live["event"]["source_event_id"].startswith(self._ids_begin):
                continue  # of the warm-up
            accepted = _seconds(live["event"]["ingested_at"])
            self.seen.to_log.append((_seconds(live["appended_at"]) - accepted) * 1_000)
            self.seen.to_client.append((now - accepted) * 1_000)
        if len(self.seen.to_client) >= self._expected:
            self.has_all.set()


def _seconds(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()


async def _follow(url: str, ids_begin: str, expected: int) -> None:
    fan = _Fan(ids_begin, expected)
    client = socketio.AsyncClient()
    client.on("events", fan.events)
    await client.connect(url, transports=["websocket"])
    for match in range(FOLLOWED):
        answer = await client.call("join", {"match": match_name(match)})
        if "error" in answer:
            raise SystemExit(f"join was refused: {answer}")
    sys.stdout.buffer.write(READY)
    sys.stdout.flush()
    with contextlib.suppress(TimeoutError):  # who started us counts
        await asyncio.wait_for(fan.has_all.wait(), _ARRIVES_WITHIN)
        await asyncio.sleep(_LISTENS_ON)
    await client.disconnect()
    sys.stdout.buffer.write(msgspec.json.encode(fan.seen))


if __name__ == "__main__":
    asyncio.run(_follow(sys.argv[1], sys.argv[2], int(sys.argv[3])))
