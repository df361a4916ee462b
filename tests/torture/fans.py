"""A fan under torture: a stock client that comes back after every break, and notes all it sees."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import socketio

_ANSWER_SECONDS = 10.0
_PAUSE_SECONDS = 0.2


@dataclass
class Life:
    """What a fan saw of a match from one image, or join, to the next."""

    generation: int
    floor: int  # the seq that it starts after
    reason: str = ""
    events: list[tuple[int, str]] = field(default_factory=list)  # seq, event id
    chain: str | None = None  # of the log at `seq`

    @property
    def seq(self) -> int:
        return self.events[-1][0] if self.events else self.floor


class LastingFan:
    """Follows matches for as long as a run lasts.

    Every event has to follow the one before, by its `prev` and by its seq;
    what does not is noted as a fault and never forgiven.
    """

    def __init__(self, url: str) -> None:
        self.lives: dict[str, list[Life]] = {}
        self.faults: list[str] = []
        self.connections = 0
        self.beats: dict[str, int] = {}  # of the pulse: match -> the last beat seen
        self._url = url
        self._wanted: list[str] = []
        self._client: Any = None
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    def start(self) -> None:
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._client is not None:
            with suppress(Exception):
                await self._client.disconnect()

    def follow(self, match: str) -> None:
        """Follow one more match, from now on."""
        if match not in self._wanted:
            self._wanted.append(match)
            self._news.set()

    def seq(self, match: str) -> int:
        lives = self.lives.get(match)
        return lives[-1].seq if lives else 0

    async def _follow(self) -> None:
        while True:
            with suppress(socketio.exceptions.SocketIOError, TimeoutError, OSError):
                await self._one_connection()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _one_connection(self) -> None:
        client = self._client = socketio.AsyncClient(reconnection=False)
        gone = asyncio.Event()
        joined: set[str] = set()

        async def note(message: dict[str, Any]) -> None:
            if message["match"] in joined:
                self._take(message)

        async def begin_again(message: dict[str, Any]) -> None:
            self._begin(message, message["reason"])

        async def leave(*_: object) -> None:
            gone.set()
            self._news.set()

        client.on("events", note)
        client.on("resync", begin_again)
        client.on("closing", leave)
        client.on("disconnect", leave)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await client.connect(self._url, transports=["websocket"])
            self.connections += 1
            while not gone.is_set():
                self._news.clear()
                for match in list(self._wanted):
                    if match not in joined and not gone.is_set():
                        await self._join(client, match, joined)
                await self._news.wait()
        finally:
            client.handlers.clear()
            with suppress(Exception):
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await client.disconnect()

    async def _join(self, client: Any, match: str, joined: set[str]) -> None:
        lives = self.lives.get(match)
        ask: dict[str, Any] = {"match": match}
        if lives:
            last = lives[-1]
            ask["since"] = {"generation": last.generation, "seq": last.seq, "chain": last.chain}
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def note(answer: dict[str, Any]) -> None:
            # Here, in the order of arrival: the first events come right behind it.
            if "error" in answer:
                asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self._news.set)
            else:
                joined.add(match)
                if not answer.get("resumed"):
                    self._begin(answer, answer.get("resync", ""))
            if not answered.done():
                answered.set_result(None)

        await client.emit("join", ask, callback=note)
        async with asyncio.timeout(_ANSWER_SECONDS):
            await answered

    def _begin(self, message: dict[str, Any], reason: str) -> None:
        life = Life(message["generation"], message["seq"], reason, chain=message.get("chain"))
        self.lives.setdefault(message["match"], []).append(life)

    def _take(self, message: dict[str, Any]) -> None:
        match = message["match"]
        life = self.lives[match][-1]
        if message["generation"] != life.generation or message["prev"] != life.seq:
            self.faults.append(
                f"{match}: events after seq {message['prev']} of generation {message['generation']} came to a"
                f" fan at seq {life.seq} of generation {life.generation}"
            )
        for event in message["events"]:
            if event["seq"] != life.seq + 1:
                self.faults.append(f"{match}: seq {event['seq']} came after {life.seq}")
            life.events.append((event["seq"], event["event_id"]))
        life.chain = message.get("chain")
        if match.startswith("pulse-"):
            beats = [int(e["event"]["source_event_id"].rpartition("-")[2]) for e in message["events"]]
            self.beats[match] = max(self.beats.get(match, 0), *beats)
