"""Joining while events flow: at every interleaving each fan gets an image and then every event once."""

import asyncio
from contextlib import suppress
from typing import Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.asks import Since
from schemas.identity import ZERO_CHAIN
from schemas.image import decode_image
from schemas.log_position import LogPosition
from storage.reading import LogUnavailableError
from tests.event_builders import MATCH
from tests.memory_gateway import MemoryGateway

FANS = ("ana", "ben", "cem")

grow = st.tuples(st.just("grow"), st.integers(1, 6))
pump = st.tuples(st.just("pump"), st.integers(1, 8))
join = st.tuples(st.just("join"), st.sampled_from(FANS))
resume = st.tuples(st.just("resume"), st.sampled_from(FANS))
leave = st.tuples(st.just("leave"), st.sampled_from(FANS))
fork = st.tuples(st.just("fork"), st.integers(1, 6))
plainly = st.sampled_from(
    [("let go", 0), ("gate", 0), ("gate late", 0), ("turn", 0), ("generation", 0), ("refresh", 0)]
)
schedules = st.lists(grow | pump | join | resume | leave | plainly | fork, max_size=40)


# Two that chance seldom finds: a log that loses what a fan has, and one that loses what an image showed
# before the stream brought it.
@example(schedule=[("join", "ana"), ("turn", 9), ("fork", 2), ("grow", 2)], ring=3, before=3, is_quiet=False)
@example(schedule=[("grow", 1), ("join", "ana"), ("turn", 9), ("fork", 1)], ring=3, before=0, is_quiet=True)
@example(
    schedule=[("grow", 1), ("join", "ana"), ("fork", 1), ("grow", 1), ("grow", 1), ("resume", "ana")],
    ring=2,
    before=0,
    is_quiet=False,
)
@given(schedule=schedules, ring=st.integers(1, 12), before=st.integers(0, 10), is_quiet=st.booleans())
def test_each_fan_gets_an_image_and_every_later_event_once(
    schedule: list[tuple[str, Any]], ring: int, before: int, is_quiet: bool
) -> None:
    """Of one history of the log, also when that changes within a generation, as after a failover.

    And when the match is quiet afterwards, so that no later event shows what is missing.
    """
    asyncio.run(_play(schedule, ring, before, is_quiet))


async def _play(schedule: list[tuple[str, Any]], ring: int, before: int, is_quiet: bool) -> None:
    gateway = MemoryGateway(ring)
    gateway.log.grow(before)
    gateway.pump(before)
    broadcasting = asyncio.create_task(gateway.broadcaster.run())
    for step, argument in schedule:
        _do(gateway, step, argument)
        for _ in range(argument if step == "turn" else 1):
            await asyncio.sleep(0)
    await _settle(gateway, is_quiet)
    for fan in FANS:
        _check(gateway, fan)
    broadcasting.cancel()
    with suppress(asyncio.CancelledError):
        await broadcasting


def _do(gateway: MemoryGateway, step: str, argument: Any) -> None:
    if step == "grow":
        gateway.log.grow(argument)
    elif step == "pump":
        gateway.pump(argument)
    elif step == "join":
        gateway.join(argument)
    elif step == "resume":
        gateway.join(argument, _last_of(gateway, argument))
    elif step == "leave":
        gateway.resume.leave(argument, MATCH)
        gateway.wire.note(argument, "leave", {})
    elif step == "let go":
        gateway.let_go()
    elif step in ("gate", "gate late"):
        gateway.log.is_gated = True
        gateway.log.reads_late = step == "gate late"
    elif step == "generation":
        gateway.log.generation += 1
    elif step == "fork":
        gateway.log.lose(argument)
        gateway.log.grow(argument - 1)
    elif step == "refresh":
        gateway.joins.append(asyncio.create_task(_refresh(gateway)))


async def _refresh(gateway: MemoryGateway) -> None:
    """The look at the heads, once a second."""
    with suppress(LogUnavailableError):
        await gateway.refresh()


async def _settle(gateway: MemoryGateway, is_quiet: bool) -> None:
    """Let everything finish: reads answered, all committed events pumped, the newest life followed."""
    gateway.log.is_gated = False
    for _ in range(200):
        gateway.let_go()
        await asyncio.sleep(0)
    await gateway.refresh()
    for _ in range(200):
        await asyncio.sleep(0)
    gateway.log.grow(0 if is_quiet else 1)
    gateway.pump(1_000)
    for _ in range(200):
        await asyncio.sleep(0)
    assert all(task.done() for task in gateway.joins)
    for task in gateway.joins:
        task.result()


def _last_of(gateway: MemoryGateway, fan: str) -> Since | None:
    """Where a fan is, as it would say in `since`."""
    generation = seq = chain = None
    for name, message in gateway.wire.sent.get(fan, []):
        if name in ("join", "resync") and "error" not in message:
            generation, seq, chain = message["generation"], message["seq"], message["chain"]
        elif name == "events":
            seq, chain = message["events"][-1]["seq"], message["chain"]
    return None if generation is None or seq is None else Since(generation, seq, chain)


def _check(gateway: MemoryGateway, fan: str) -> None:
    """What a fan got is an image at its place, then every event after it, up to the head of the log."""
    generation, seq, chain, follows = 0, 0, ZERO_CHAIN, False
    for name, message in gateway.wire.sent.get(fan, []):
        if name == "leave":
            follows = False
        elif name in ("join", "resync"):
            assert "error" not in message, message
            generation, seq, follows = message["generation"], message["seq"], True
            chain = bytes.fromhex(message["chain"])
            image = gateway.log.images[chain]
            assert image.seq == seq
            if message.get("image") is not None:
                assert decode_image(orjson.dumps(message["image"])) == image
            elif "image" in message:
                assert seq == 0
        elif name == "events" and follows:
            assert (message["generation"], message["prev"]) == (generation, seq)
            ids = [event["event_id"] for event in message["events"]]
            assert [event["seq"] for event in message["events"]] == list(range(seq + 1, seq + 1 + len(ids)))
            assert _way_back(gateway, bytes.fromhex(message["chain"]), len(ids)) == (chain, ids)
            seq, chain = seq + len(ids), bytes.fromhex(message["chain"])
    if follows:
        assert LogPosition(generation, seq, chain) == gateway.log.head


def _way_back(gateway: MemoryGateway, chain: bytes, events: int) -> tuple[bytes, list[str]]:
    """The chain so many events before one, and the ids of the events in between."""
    ids: list[str] = []
    for _ in range(events):
        chain, event_id = gateway.log.before[chain]
        ids.insert(0, event_id)
    return chain, ids
