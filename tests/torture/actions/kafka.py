"""Harm to Kafka's brokers; of three, to one that leads a partition."""

import asyncio
import signal
from random import Random

from tests.kafka_cluster import Cluster
from tests.torture.actions.holding import held_down, pause_server, signal_and_return
from tests.torture.actions.registry import NotReachedError, action
from tests.torture.rig import Rig

ACKNOWLEDGED = "acknowledged by enough"
_LEAVES_WITHIN_SECONDS = 20


async def _a_leader(rig: Rig, draw: Random) -> str:
    if len(rig.brokers) == 1:
        return rig.brokers[0]
    leaders = await asyncio.to_thread(Cluster(rig.settings).leaders)
    if not leaders:
        raise NotReachedError("no partition has a leader")
    return rig.brokers[draw.choice(leaders)]


@action(needs="kafka")
async def kill_kafka(rig: Rig, draw: Random) -> None:
    """SIGKILL the only broker, or one of three that leads."""
    await signal_and_return(rig, await _a_leader(rig, draw), signal.SIGKILL)


@action(weight=0.7, needs="kafka")
async def restart_kafka(rig: Rig, draw: Random) -> None:
    """Stop the only broker, or one of three that leads, in order; it comes back."""
    await signal_and_return(rig, await _a_leader(rig, draw), signal.SIGTERM)


@action(weight=0.7, needs="kafka")
async def restart_all_brokers(rig: Rig, draw: Random) -> None:
    """SIGKILL all brokers at once."""
    await asyncio.gather(*(signal_and_return(rig, broker, signal.SIGKILL) for broker in rig.brokers))


@action(needs="kafka")
async def pause_kafka(rig: Rig, draw: Random) -> None:
    """SIGSTOP the only broker, or one of three that leads, for seconds."""
    await pause_server(rig, await _a_leader(rig, draw), draw.uniform(1, 5))


@action(weight=0.7, brokers=3, needs="kafka")
async def too_few_replicas(rig: Rig, draw: Random) -> None:
    """Fewer replicas are in step than the raw topics ask for: nobody may be told that a record is safe."""
    brokers = len(rig.brokers)  # a topic with one replica asks for no second one, whatever it is set to
    cluster = Cluster(rig.settings)
    await asyncio.to_thread(cluster.ask_for_in_sync, brokers)
    try:
        async with held_down(rig, draw.choice(rig.brokers)):
            await rig.until_told(
                lambda: max(cluster.in_sync().values()) < brokers,
                _LEAVES_WITHIN_SECONDS,
                "a replica to leave",
            )
            await _nothing_is_acknowledged(rig, cluster, draw.uniform(3, 5))
    finally:
        await asyncio.to_thread(cluster.ask_for_in_sync, brokers - 1)


async def _nothing_is_acknowledged(rig: Rig, cluster: Cluster, seconds: float) -> None:
    """What a broker acknowledges lies before the end of its partition: the ends have to stand still."""
    before = await asyncio.to_thread(cluster.ends)
    await asyncio.sleep(seconds)
    for place, end in (await asyncio.to_thread(cluster.ends)).items():
        if told := end - before.get(place, end):
            topic, partition = place
            rig.violations.append(
                (ACKNOWLEDGED, f"{told} records of {topic}[{partition}] with a replica less")
            )
