"""Harm to the raw topics: one is made anew, records go while a lane is down."""

import asyncio
import shutil
from random import Random

import psycopg

from local.topics import create_topics
from recovery.audit.servers import opened
from recovery.audit.settle import find_behind, is_all_repeats, read_offsets
from settings import Settings
from storage import resume
from tests.kafka_cluster import Cluster, Partition
from tests.torture.actions.commands import run_recovery
from tests.torture.actions.holding import held_down
from tests.torture.actions.processes import a_lane
from tests.torture.actions.registry import NotReachedError, action
from tests.torture.rig import LANES, NotInTimeError, Rig

NOTICED = "another life of a topic is noticed"
# Nothing but ingest writes it, so with ingest down it stands still.
_TOPIC = "social-events"
_READ_WITHIN_SECONDS = 30
_NOTICED_WITHIN_SECONDS = 45
_REPLACED = "TopicReplacedError"

_NUMBERS = "SELECT name, max(topic) FROM topics GROUP BY name"


@action(weight=0.5, needs="ingest lanes kafka postgres")
async def topic_recreated(rig: Rig, draw: Random) -> None:
    """Make a raw topic that was read to its end anew: lanes stop by name until its new life is adopted."""
    cluster, topic = Cluster(rig.settings), rig.settings.topic_prefix + _TOPIC
    async with held_down(rig, "ingest"):
        # What nobody has read would be lost by us.
        await rig.until_told(lambda: _is_read(rig.settings), _READ_WITHIN_SECONDS, f"{topic} to be read")
        lanes = [rig.watch(f"enrich-{lane}") for lane in range(LANES)]
        said = [_times_said(watch.log.read_text()) for watch in lanes]
        before = await asyncio.to_thread(cluster.life_of, topic)
        await asyncio.to_thread(cluster.delete_topic, topic)
        await rig.until_told(
            lambda: bool(create_topics(rig.settings, len(rig.brokers))) or cluster.life_of(topic) != before,
            _READ_WITHIN_SECONDS,
            f"{topic} to be there again",
        )
        try:
            await rig.until(
                lambda: all(
                    _times_said(watch.log.read_text()) > times
                    for watch, times in zip(lanes, said, strict=True)
                ),
                _NOTICED_WITHIN_SECONDS,
                "both lanes to stop by name",
            )
        except NotInTimeError as error:
            rig.violations.append((NOTICED, str(error)))
        adopted = await run_recovery(rig, "topics", "adopt", "--yes")
        if adopted.status != 0:
            rig.violations.append((NOTICED, f"the new life was not adopted: {adopted.said}"))


def _times_said(log: str) -> int:
    return log.count(_REPLACED)


def _is_read(settings: Settings) -> bool:
    with opened(settings) as servers:
        cuts = [cut for cut in servers.kafka.cut() if cut.topic == _TOPIC]
        behind = find_behind(cuts, read_offsets(servers.log, cuts, servers.kafka.cluster_id()))
        return all(is_all_repeats(servers.kafka, servers.log, b, settings.shards) for b in behind)


@action(weight=0.7, needs="lanes kafka postgres")
async def retention_passed_a_lane(rig: Rig, draw: Random) -> None:
    """Delete a lane's store while it is down, and from Kafka all that the log has read of its shards."""
    lane = a_lane(draw)
    shards = range(int(lane.removeprefix("enrich-")), rig.settings.shards, LANES)
    cluster = Cluster(rig.settings)
    async with held_down(rig, lane):
        shutil.rmtree(rig.store(lane), ignore_errors=True)
        offsets = await asyncio.to_thread(_read_up_to, rig.settings, shards)
        if not offsets:
            raise NotReachedError(f"the log has nothing of the shards of {lane}")
        await asyncio.to_thread(cluster.delete_before, offsets)
        await asyncio.sleep(draw.uniform(0.5, 3))


def _read_up_to(settings: Settings, shards: range) -> dict[Partition, int]:
    """Where a lane of these shards reads on, by the log."""
    with psycopg.connect(settings.postgres) as connection:
        numbers: dict[str, int] = dict(connection.execute(_NUMBERS).fetchall())
        return {
            (settings.topic_prefix + topic, shard): offset
            for shard in shards
            for topic, offset in resume.by_name(resume.next_offsets(connection, shard), numbers).items()
        }
