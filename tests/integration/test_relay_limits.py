"""What a topic of the relay does not take: cut, or a stub, and never a stop for anybody else."""

import random
from collections import Counter
from datetime import timedelta

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from local.topics import LARGEST_RECORD_BYTES
from schemas.raw import RAW_TOPICS
from settings import Settings
from tests.fixtures.relays import StartRelay
from tests.fixtures.waiting import eventually
from tests.grown_log import Copied, GrownLog, copied
from tests.kafka_cluster import Cluster

pytestmark = pytest.mark.integration

SOON = timedelta(seconds=60)


def _set(settings: Settings, topic: str, name: str, value: str) -> None:
    """Change a setting of a topic."""
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(
        ConfigResource.Type.TOPIC, settings.topic_prefix + topic, incremental_configs=[entry]
    )
    admin.incremental_alter_configs([resource])[resource].result(30)


def _letters(settings: Settings, topic: str) -> list[Copied]:
    return copied(settings, f"{topic}-dlq")


def _numbers(settings: Settings, topic: str) -> dict[int, int]:
    """Letter -> how often it was copied."""
    return Counter(int(copy.headers["letter"]) for copy in _letters(settings, topic))


def _reject_everywhere(settings: Settings, log: GrownLog, offset: int) -> None:
    for topic in RAW_TOPICS:
        for partition in range(settings.shards):
            log.reject(topic, partition, offset, b"small")


def _have_letters(settings: Settings, topics: dict[str, int]) -> bool:
    return all(len(_numbers(settings, topic)) == count for topic, count in topics.items())


def test_a_letter_larger_than_its_topic_is_cut_and_stops_nobody(
    installation: Settings, log: GrownLog, start_relay: StartRelay
) -> None:
    """Keys and values of any size on one partition: each is there with its sizes, and so are the others."""
    originals = [
        (random.randbytes(1_200_000), b"{"),
        (random.randbytes(100_000), random.randbytes(1_000_000)),
        (b"key", random.randbytes(1_048_000)),
        (random.randbytes(1_200_000), random.randbytes(3_000_000)),
        (None, b"last"),
    ]
    start_relay(installation)
    for offset, (key, original) in enumerate(originals):
        log.reject("social-events", 1, offset, original, key)
    _reject_everywhere(installation, log, 100)
    others = {topic: 2 for topic in RAW_TOPICS if topic != "social-events"}
    eventually(lambda: _have_letters(installation, others | {"social-events": 7}), SOON)

    copies = [copy for copy in _letters(installation, "social-events") if copy.partition == 1]
    assert [int(copy.headers["letter"]) for copy in copies][:5] == [1, 2, 3, 4, 5]
    for copy, (key, original) in zip(copies, originals, strict=False):
        whole = key or b""
        assert original.startswith(copy.value)
        assert whole.startswith(copy.key or b"")
        assert len(copy.value) + len(copy.key or b"") <= LARGEST_RECORD_BYTES
        assert copy.headers.get("cut") == (None if copy.value == original else b"%d" % len(original))
        assert copy.headers.get("cut_key") == (None if (copy.key or b"") == whole else b"%d" % len(whole))
    assert len(copies[1].value) > 900_000
    assert copies[4].key is None


def test_topics_that_take_little_get_all_there_is(
    installation: Settings, log: GrownLog, start_relay: StartRelay
) -> None:
    """Lowered to 10 KB, before a relay starts and while it runs: in small batches, and in stubs."""
    for topic in ("live-events", "social-events-dlq"):
        _set(installation, topic, "max.message.bytes", "10000")
    log.grow(0, 1_300)
    log.grow(0, 1, text_bytes=20_000)
    log.grow(0, 50)
    for offset in range(100):
        log.reject("social-events", 1, offset, b"x" * (100 if offset % 10 else 60_000))
    start_relay(installation)

    def all_there(rows: int, letters: int) -> bool:
        places = Counter(
            int(copy.headers["position"])
            for copy in copied(installation, "live-events")
            if not copy.partition
        )
        assert sorted(places) == list(range(1, rows + 1))
        return len(_numbers(installation, "social-events")) == letters

    eventually(lambda: all_there(1_351, 100), SOON)
    stubs = [copy for copy in copied(installation, "live-events") if "stub" in copy.headers]
    assert [(copy.headers["position"], copy.value, copy.key) for copy in stubs] == [
        (b"1301", b"", b"match-0")
    ]
    assert stubs[0].headers["cut"] == b"%d" % len(log.rows[0][1_300].payload)

    for topic in ("live-events", "social-events-dlq"):
        _set(installation, topic, "max.message.bytes", "5000")
    log.grow(0, 300)
    for offset in range(100, 130):
        log.reject("social-events", 1, offset, b"y" * 7_000)
    eventually(lambda: all_there(1_651, 130), SOON)


def test_a_topic_that_refuses_a_record_for_its_form_gets_a_stub(
    installation: Settings, log: GrownLog, start_relay: StartRelay
) -> None:
    """A compacted topic takes no record without a key: a stub says which one it was, and others go on."""
    _set(installation, "social-events-dlq", "cleanup.policy", "compact")
    log.reject("social-events", 1, 0, b"first")
    log.reject("social-events", 1, 1, b"no key", None)
    log.reject("social-events", 1, 2, b"behind")
    _reject_everywhere(installation, log, 9)
    start_relay(installation)
    others = {topic: 2 for topic in RAW_TOPICS if topic != "social-events"}
    eventually(lambda: _have_letters(installation, others | {"social-events": 5}), SOON)
    copies = [copy for copy in _letters(installation, "social-events") if copy.partition == 1]
    assert [int(copy.headers["letter"]) for copy in copies] == sorted(
        int(copy.headers["letter"]) for copy in copies
    )
    told = [(copy.value, copy.headers["origin"], copy.headers.get("cut")) for copy in copies]
    assert told[:3] == [
        (b"first", b"social-events/1/0", None),
        (b"", b"social-events/1/1", b"6"),
        (b"behind", b"social-events/1/2", None),
    ]


def test_a_topic_that_is_gone_stops_only_its_own_copies(
    installation: Settings, log: GrownLog, start_relay: StartRelay
) -> None:
    Cluster(installation).delete_topic(f"{installation.topic_prefix}sensor-events-dlq")
    _reject_everywhere(installation, log, 1)
    start_relay(installation)
    others = {topic: 2 for topic in RAW_TOPICS if topic != "sensor-events"}
    eventually(lambda: _have_letters(installation, others), SOON)
