"""A recording through the whole platform, from the vendor's feed to a stock Socket.IO client."""

import asyncio
import io
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console

from local.display import Board
from local.ports import free_base
from local.replay.fan import CLIENT
from local.replay.ground import Ground, platform_alone
from local.replay.oracle import differences, read_oracle
from local.replay.recording import lines_of
from local.replay.run import Result, Wish, replay
from settings import ROOT, Settings
from tests.recordings import NO_RECORDS, Recording

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not CLIENT.is_dir(), reason="no socket.io-client in web/node_modules: ./dev page fetches it"
    ),
]

REAL = ROOT.parent / "shared" / "real" / "events"


@asynccontextmanager
async def a_platform(installation: Settings) -> AsyncIterator[Ground]:
    """Every process of the platform on an empty installation, on ports of its own."""
    settings = replace(installation, port_base=free_base(random.Random()))
    async with platform_alone(settings, Board(Console(file=io.StringIO()), time.time)) as records:
        yield Ground(settings, records)


def replayed(installation: Settings, wish: Wish) -> Result:
    async def run() -> Result:
        async with a_platform(installation) as found:
            return await replay(found, wish, datetime.now(UTC), _unheard, _unseen)

    return asyncio.run(run())


def _unheard(_: str) -> None: ...


def _unseen(*_: int) -> None: ...


def differing(truth: dict[str, object], result: Result) -> Sequence[str]:
    return [*result.disagreements, *differences(truth, msgspec.to_builtins(result.outcome), result.events)]


def test_each_line_is_an_event_or_a_dead_letter_whatever_happens_on_the_way(installation: Settings) -> None:
    """Shuffled, sent three times each, with a lane killed twice, and with lines that are no record."""
    recording = Recording(seed=4, passes=400)
    wish = Wish(
        lines=(*recording.lines[:50], *NO_RECORDS, *recording.lines[50:]),
        match="test-replay",
        shuffle_within=timedelta(seconds=30),
        copies=3,
        kills=2,
    )
    result = replayed(installation, wish)
    assert differing(recording.truth, result) == []
    assert result.seq_gapless
    assert result.kills == 2
    assert result.lines_sent == 3 * len(wish.lines)
    assert sum(result.dead_letters.values()) == len(NO_RECORDS)
    assert set(result.dead_letters) == {"malformed_json", "invalid_record", "invalid_utf8"}


def test_one_id_three_times_with_different_bodies_is_three_events(installation: Settings) -> None:
    """None of them is swallowed; the timeline has the goal once."""
    recording = Recording(seed=4, passes=100)
    goal = next(line for line in recording.lines if b'"Goal"' in line)
    others = [
        goal.replace(b"Fjordheim 9", b"Another").replace(b"Costa Verde 9", b"Another") + b" " * n
        for n in (0, 1)
    ]
    others[1] = others[1].replace(b"Another", b"A third")
    result = replayed(
        installation, Wish(lines=(*recording.lines, *others), match="test-thrice", speed=20_000.0)
    )
    recording.truth["records"] += 2
    assert differing(recording.truth, result) == []


@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/real is not there")
def test_a_real_match_comes_to_its_oracle(installation: Settings) -> None:
    lines = lines_of((REAL / "barcelona_girona_15986.jsonl").read_bytes())
    result = replayed(installation, Wish(lines=tuple(lines), match="test-real"))
    oracle = read_oracle(REAL / "oracle_15986.json")
    assert differing(oracle, result) == []
    assert result.events == dict.fromkeys(("postgres", "redis", "socketio"), 4027)
