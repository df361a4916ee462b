"""Both stock Socket.IO clients understand what the gateway writes below its server's usual way."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from local.replay import fan as javascript
from schemas.raw import RawEvent
from settings import Settings
from tests.event_builders import MATCH, a_cancel_of, a_goal, a_pass, a_period_start
from tests.fan import Fan
from tests.fixtures.services import Service, StartService
from tests.live_log import LiveLog

# Small and large frames, letters beyond ASCII, and what JSON must escape.
FIRST: Sequence[RawEvent] = [a_period_start(), a_goal("goal-1", player='Žanić "El Niño" \\ 李')]
LATER: Sequence[RawEvent] = [
    *[a_pass(f"pass-{number}", clock=number, text="ü" * (number * 7)) for number in range(1, 200)],
    a_cancel_of(a_goal("goal-1")),
]


@pytest.fixture
def log(installation: Settings) -> Iterator[LiveLog]:
    with LiveLog(installation) as growing:
        yield growing


@pytest.fixture
def gateway(log: LiveLog, start_service: StartService) -> Service:
    return start_service("gateway", log.settings)


def test_the_python_client_gets_every_event_in_order(log: LiveLog, gateway: Service) -> None:
    """From the image on, seq by seq."""
    log.say(FIRST)

    async def watch() -> None:
        async with Fan(gateway.url) as fan:
            answer = await fan.join(MATCH)
            assert answer["seq"] == len(FIRST)
            log.say(LATER)
            await fan.has(MATCH, len(FIRST) + len(LATER))

    asyncio.run(watch())


@pytest.mark.skipif(
    not javascript.CLIENT.exists(), reason="the page's libraries are not installed: ./dev page"
)
def test_the_javascript_client_gets_every_event_in_order(
    log: LiveLog, gateway: Service, tmp_path: Path
) -> None:
    """As a browser would: nothing twice, nothing missing, texts as they were."""
    log.say(FIRST)

    async def watch() -> None:
        async with javascript.watching(gateway.url, MATCH, tmp_path / "errors", print) as fan:
            await fan.joined()
            log.say(LATER)
            async with asyncio.timeout(30):
                while fan.seq < len(FIRST) + len(LATER):  # noqa: ASYNC110 - the fan is another process
                    await asyncio.sleep(0.05)
            summary = await fan.finish()
        assert fan.is_gapless
        assert summary.repeated == 0
        assert [event.event for event in fan.events] == [*FIRST, *LATER]

    asyncio.run(watch())
