"""A fan with a stock Socket.IO client, who writes down everything in the order it comes."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import socketio

ANSWER_WITHIN = timedelta(seconds=30)


class Fan:
    """Joins matches and counts seqs as the page does, but forgives nothing."""

    def __init__(self, url: str, transports: tuple[str, ...] = ("websocket",)) -> None:
        self._url = url
        self._transports = list(transports)
        self._client = socketio.AsyncClient(reconnection=False)
        self._came = asyncio.Condition()
        self._fault: AssertionError | None = None  # raised in a handler, for the test to see
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.seqs: dict[str, list[int]] = {}  # of each match, in order of arrival
        self.ids: dict[str, list[str]] = {}  # of the events among them
        self.generations: dict[str, int] = {}
        self.chains: dict[str, str] = {}  # where the match's log stood at the last of them
        for name in ("events", "heartbeat", "resync", "closing"):
            self._client.on(name, self._note(name))

    async def __aenter__(self) -> Self:
        await self._client.connect(
            self._url, transports=self._transports, wait_timeout=ANSWER_WITHIN.total_seconds()
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.disconnect()
        if error is None and self._fault is not None:
            raise self._fault

    @property
    def is_connected(self) -> bool:
        return bool(self._client.connected)

    def _note(self, name: str) -> Callable[[dict[str, Any]], Any]:
        async def note(message: dict[str, Any]) -> None:
            try:
                if name == "events":
                    self._count(message)
                if name == "resync":
                    self._begin(message)
            except AssertionError as fault:
                self._fault = self._fault or fault
            self.messages.append((name, message))
            async with self._came:
                self._came.notify_all()

        return note

    def _begin(self, answer: dict[str, Any]) -> None:
        self.generations[answer["match"]] = answer["generation"]
        self.chains[answer["match"]] = answer["chain"]
        self.seqs[answer["match"]] = [answer["seq"]]
        self.ids[answer["match"]] = []

    def _count(self, message: dict[str, Any]) -> None:
        match = message["match"]
        seqs = self.seqs[match]
        assert message["generation"] == self.generations[match], message
        for event in message["events"]:
            assert event["event"]["match"] == match
        new = [event["seq"] for event in message["events"]]
        assert message["prev"] == seqs[-1], f"{match}: prev {message['prev']} after {seqs[-1]}"
        assert new == list(range(seqs[-1] + 1, seqs[-1] + 1 + len(new))), f"{match}: {new} after {seqs[-1]}"
        seqs += new
        self.ids[match] += [event["event_id"] for event in message["events"]]
        self.chains[match] = message["chain"]

    async def ask(self, event: str, *arguments: object) -> dict[str, Any]:
        """Send an event and return its ack, noted in order among the messages."""
        answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        async def note(answer: dict[str, Any]) -> None:
            if event == "join" and "error" not in answer:
                self._begin(answer)
            self.messages.append((f"{event} answer", answer))
            answered.set_result(answer)

        await self._client.emit(event, arguments, callback=note)
        async with asyncio.timeout(ANSWER_WITHIN.total_seconds()):
            return await answered

    async def join(
        self, match: str, since: tuple[int, int] | None = None, chain: str | None = None
    ) -> dict[str, Any]:
        """Join a match, from its image or after (generation, seq), where the log had this chain."""
        ask: dict[str, object] = {"match": match}
        if since is not None:
            proof = {} if chain is None else {"chain": chain}
            ask["since"] = {"generation": since[0], "seq": since[1], **proof}
        return await self.ask("join", ask)

    async def until(self, predicate: Callable[[], bool], within: timedelta = ANSWER_WITHIN) -> None:
        """Wait for something to become true of what came."""
        try:
            async with asyncio.timeout(within.total_seconds()), self._came:
                await self._came.wait_for(lambda: self._fault is not None or predicate())
        except TimeoutError:
            last = self.messages[-3:]
            raise AssertionError(f"not within {within}; seqs end {self.ends()}, last came {last}") from None
        if self._fault is not None:
            raise self._fault

    async def has(self, match: str, seq: int, within: timedelta = ANSWER_WITHIN) -> None:
        """Wait until the fan has the event `seq` of a match."""
        await self.until(lambda: self.seqs[match][-1] >= seq, within)

    def ends(self) -> dict[str, int]:
        return {match: seqs[-1] for match, seqs in self.seqs.items()}

    def named(self, name: str) -> list[dict[str, Any]]:
        """All messages of a name so far."""
        return [message for kind, message in self.messages if kind == name]
