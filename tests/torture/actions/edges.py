"""Harm to the network between the platform and its servers."""

import asyncio
from random import Random

from tests.torture.actions.registry import action
from tests.torture.proxy import FaultProxy
from tests.torture.rig import Rig, edge_to


def _an_edge(rig: Rig, draw: Random) -> FaultProxy:
    """Kafka's are few by number, and the busiest."""
    names = sorted(name for name in rig.proxies if not name.startswith("ingest"))
    return rig.proxies[draw.choice([*names, *map(edge_to, rig.brokers)])]


@action(weight=1.5, needs="edges")
async def delay_an_edge(rig: Rig, draw: Random) -> None:
    """Let every packet of an edge take long, for seconds."""
    edge = _an_edge(rig, draw)
    edge.delay = draw.uniform(0.05, 0.4)
    await _heal_after(edge, draw.uniform(2, 5))


@action(weight=1.5, needs="edges")
async def swallow_an_edge(rig: Rig, draw: Random) -> None:
    """Let nothing through an edge for seconds, then all of it."""
    edge = _an_edge(rig, draw)
    edge.swallow()
    await _heal_after(edge, draw.uniform(1, 6))


@action(weight=1.5, needs="edges")
async def swallow_and_cut_an_edge(rig: Rig, draw: Random) -> None:
    """Let nothing through an edge, then break it: nobody knows what arrived."""
    edge = _an_edge(rig, draw)
    edge.swallow()
    try:
        await asyncio.sleep(draw.uniform(0.5, 4))
        edge.cut()
    finally:
        edge.heal()


@action(weight=1.5, needs="edges")
async def cut_an_edge(rig: Rig, draw: Random) -> None:
    """Break the connections of an edge, several times."""
    edge = _an_edge(rig, draw)
    for _ in range(draw.randint(1, 5)):
        edge.cut()
        await asyncio.sleep(draw.uniform(0.05, 0.5))


@action(weight=0.7, needs="edges")
async def refuse_an_edge(rig: Rig, draw: Random) -> None:
    """Break an edge and let nobody connect for seconds."""
    edge = _an_edge(rig, draw)
    edge.refuses = True
    edge.cut()
    await _heal_after(edge, draw.uniform(1, 6))


async def _heal_after(edge: FaultProxy, seconds: float) -> None:
    try:
        await asyncio.sleep(seconds)
    finally:
        edge.heal()
