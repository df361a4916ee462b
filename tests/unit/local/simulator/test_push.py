"""Sensors push until they are taken, whatever ingest answers."""

import asyncio
import json
import random
from collections.abc import Callable, Sequence

import httpx
import pytest

from local.simulator.disturb import Send
from local.simulator.ledger_entries import Record, Refused, Sent
from local.simulator.push import SensorPush, UnexpectedAnswerError

Answer = Callable[[httpx.Request], httpx.Response]

pytestmark = pytest.mark.anyio


def a_reading(number: int) -> Send:
    return Send(0.0, "sensors", b'{"reading":%d}' % number, Record("m", "sensors", f"reading-{number}", 0))


def a_spoiled(number: int) -> Send:
    payload = b"spoiled %d" % number
    return Send(0.0, "sensors", payload, Refused("sensors", "", payload))


def taken(request: httpx.Request) -> httpx.Response:
    """Answer as ingest does: refuse what is no JSON."""
    lines = request.content.split(b"\n")
    rejected = [
        {"line": number, "field": "", "reason": "no JSON"}
        for number, line in enumerate(lines, 1)
        if not line.startswith(b"{")
    ]
    accepted = len(lines) - len(rejected)
    return httpx.Response(202 if accepted else 400, json={"accepted": accepted, "rejected": rejected})


class Ingest:
    """Answers from a script, then takes everything; remembers the bodies and how long we waited."""

    def __init__(self, *script: httpx.Response | Exception | Answer) -> None:
        self.bodies: list[bytes] = []
        self.pauses: list[float] = []
        self._script = list(script)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(request.content)
        answer = self._script.pop(0) if self._script else taken
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def push(self, sends: Sequence[Send]) -> list[Sent]:
        """Push until all is taken; return what the ledger would get."""
        entries: list[Sent] = []
        async with httpx.AsyncClient(transport=httpx.MockTransport(self)) as client:
            sensors = SensorPush(
                client, "http://ingest/sensors", entries.extend, random.Random(1), pause=self.pause
            )
            await sensors.put(sends)
            running = asyncio.create_task(sensors.run())
            drained = asyncio.create_task(sensors.drained())
            await asyncio.wait({running, drained}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                drained.cancel()
                running.result()
            running.cancel()
        return entries


async def test_what_was_taken_is_reported_in_order() -> None:
    sends = [a_reading(number) for number in range(1_200)]
    ingest = Ingest()
    assert await ingest.push(sends) == [send.entry for send in sends]
    assert b"\n".join(ingest.bodies) == b"\n".join(send.payload for send in sends)


@pytest.mark.parametrize(
    "failure",
    [
        httpx.Response(503),
        httpx.Response(500),
        httpx.Response(429),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("cut"),
    ],
)
async def test_a_push_that_was_not_taken_is_repeated(failure: httpx.Response | Exception) -> None:
    """Also when the answer got lost: whether it was stored is unknown then."""
    ingest = Ingest(failure, failure)
    assert await ingest.push([a_reading(1)]) == [a_reading(1).entry]
    assert len(ingest.bodies) == 3
    assert len(set(ingest.bodies)) == 1


async def test_a_push_waits_as_long_as_it_was_asked_to() -> None:
    ingest = Ingest(httpx.Response(429, headers={"Retry-After": "7"}))
    await ingest.push([a_reading(1)])
    assert ingest.pauses == [7.0]


async def test_waits_grow_up_to_a_bound() -> None:
    ingest = Ingest(*[httpx.Response(503)] * 12)
    await ingest.push([a_reading(1)])
    assert ingest.pauses[0] <= 0.1
    assert max(ingest.pauses) <= 3.0
    assert ingest.pauses[-1] > 1.0


async def test_a_body_that_is_too_large_goes_out_in_parts() -> None:
    sends = [a_reading(number) for number in range(7)]
    ingest = Ingest(httpx.Response(413))
    assert await ingest.push(sends) == [send.entry for send in sends]
    assert [body.count(b"\n") + 1 for body in ingest.bodies] == [7, 3, 4]


async def test_a_refusal_is_reported_with_its_reason() -> None:
    assert await Ingest().push([a_reading(1), a_spoiled(2), a_reading(3)]) == [
        a_reading(1).entry,
        Refused("sensors", "no JSON", b"spoiled 2"),
        a_reading(3).entry,
    ]


async def test_a_body_without_a_good_record_is_settled_too() -> None:
    ingest = Ingest()
    assert await ingest.push([a_spoiled(1)]) == [Refused("sensors", "no JSON", b"spoiled 1")]
    assert len(ingest.bodies) == 1


async def test_a_good_record_that_is_refused_ends_the_run() -> None:
    """Either the generator or ingest is wrong; a ledger without it would hide that."""
    answer = {"accepted": 0, "rejected": [{"line": 1, "field": "match", "reason": "dislike"}]}
    with pytest.raises(UnexpectedAnswerError, match="dislike"):
        await Ingest(httpx.Response(400, content=json.dumps(answer))).push([a_reading(1)])


async def test_a_spoiled_record_that_is_accepted_ends_the_run() -> None:
    with pytest.raises(UnexpectedAnswerError, match="accepted"):
        await Ingest(httpx.Response(202, json={"accepted": 1, "rejected": []})).push([a_spoiled(1)])


async def test_an_answer_nobody_agreed_on_ends_the_run() -> None:
    with pytest.raises(UnexpectedAnswerError, match="404"):
        await Ingest(httpx.Response(404)).push([a_reading(1)])
