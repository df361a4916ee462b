"""Send readings to ingest, as the boxes in a stadium do: again until they are taken."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import httpx
import msgspec
from msgspec.structs import replace

from local.simulator.disturb import Send
from local.simulator.ledger_entries import Refused, Sent

_RECORDS_AT_ONCE = 500
_WAITING_AT_MOST = 20_000  # then the match day waits, as a box with a full memory does
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 0.1, 3.0
_TIMEOUT = httpx.Timeout(20.0, connect=2.0)
_NDJSON = {"Content-Type": "application/x-ndjson"}


class UnexpectedAnswerError(RuntimeError):
    """Ingest judged a record otherwise than it is, or does not speak as agreed."""


class _Rejected(msgspec.Struct):
    line: int  # 1 is the first
    reason: str = ""


class _Receipt(msgspec.Struct):
    rejected: list[_Rejected] = []


class _Again(NamedTuple):
    after_seconds: float | None  # None: as long as we think fit
    in_smaller_parts: bool = False


class SensorPush:
    """Pushes readings in order, one body at a time.

    Delivery: at least once. A body is sent again until it is answered with
    202, or with 400 when no record in it is good.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        on_taken: Callable[[Sequence[Sent]], None],
        jitter: random.Random,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.retries = 0
        self._client = client
        self._url = url
        self._on_taken = on_taken
        self._jitter = jitter
        self._pause = pause
        self._waiting: deque[Send] = deque()
        self._under_way = 0
        self._at_once = _RECORDS_AT_ONCE
        self._changed = asyncio.Condition()

    async def put(self, sends: Sequence[Send]) -> None:
        """Hand readings over; waits while too many wait."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._waiting) < _WAITING_AT_MOST)
            self._waiting.extend(sends)
            self._changed.notify_all()

    async def drained(self) -> None:
        """Wait until everything was taken."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._waiting and not self._under_way)

    async def run(self) -> None:
        """Push for ever; raise UnexpectedAnswerError."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._waiting))
                batch = [self._waiting.popleft() for _ in range(min(self._at_once, len(self._waiting)))]
                self._under_way = len(batch)
            await self._push(batch)
            async with self._changed:
                self._under_way = 0
                self._changed.notify_all()

    async def _push(self, batch: Sequence[Send]) -> None:
        delay = _FIRST_RETRY_SECONDS
        while True:
            answer = await self._post(batch)
            if isinstance(answer, _Receipt):
                self._on_taken(_judged(batch, answer))
                return
            self.retries += 1
            if answer.in_smaller_parts and len(batch) > 1:
                self._at_once = max(1, len(batch) // 2)
                await self._push(batch[: self._at_once])
                await self._push(batch[self._at_once :])
                return
            await self._pause(answer.after_seconds or delay * self._jitter.uniform(0.5, 1.0))
            delay = min(2 * delay, _LONGEST_RETRY_SECONDS)

    async def _post(self, batch: Sequence[Send]) -> "_Receipt | _Again":
        body = b"\n".join(send.payload for send in batch)
        try:
            answer = await self._client.post(self._url, content=body, headers=_NDJSON, timeout=_TIMEOUT)
        except httpx.HTTPError:
            return _Again(None)
        match answer.status_code:
            case 202 | 400:
                return msgspec.json.decode(answer.content, type=_Receipt)
            case 413:
                return _Again(None, in_smaller_parts=True)
            case status if status == 429 or status >= 500:
                asked = answer.headers.get("Retry-After", "")
                return _Again(float(asked) if asked.isdecimal() else None)
            case status:
                raise UnexpectedAnswerError(f"ingest answers a push with {status}: {answer.text[:300]}")


def _judged(batch: Sequence[Send], receipt: _Receipt) -> list[Sent]:
    """What the ledger says of a body that was answered; raise UnexpectedAnswerError."""
    reasons = {rejected.line: rejected.reason for rejected in receipt.rejected}
    entries: list[Sent] = []
    for line, send in enumerate(batch, 1):
        entry = send.entry
        if isinstance(entry, Refused) != (line in reasons):
            verdict = f"refused ({reasons[line]})" if line in reasons else "accepted"
            raise UnexpectedAnswerError(f"ingest {verdict} {send.payload[:300]!r}")
        entries.append(replace(entry, reason=reasons[line]) if isinstance(entry, Refused) else entry)
    return entries
