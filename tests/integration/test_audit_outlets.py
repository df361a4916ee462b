"""What the real relay copies to Kafka, audited against the log: sound, then damaged."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from confluent_kafka import Producer

from local.environment import environment_of
from recovery.audit.receipt import Receipt
from recovery.audit.run import Asked
from settings import ROOT, Settings
from tests.fixtures.audit_world import HOME, World

pytestmark = pytest.mark.integration

OUTLETS = Asked(outlets=True)
SETTLED = Asked(outlets=True, settle=timedelta(seconds=90))


@contextmanager
def _relay(settings: Settings) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bytewax.run", "dataflows.deliver"],
        cwd=ROOT,
        env=environment_of(settings) | {"PATH": os.environ["PATH"]},
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _write(settings: Settings, topic: str, value: bytes, headers: dict[str, str]) -> None:
    """As if a relay had gone wrong, or a stranger wrote there."""
    producer = Producer({"bootstrap.servers": settings.kafka, "log_level": 2})
    producer.produce(settings.topic_prefix + topic, value, HOME.encode(), 0, headers=list(headers.items()))
    producer.flush(10)


def _counts(receipt: Receipt) -> dict[str, tuple[int, int]]:
    return {tally.topic: (tally.delivered, tally.repeats) for tally in receipt.outlets if tally.records}


def test_what_the_relay_copied_is_sound_and_each_damage_is_named(own_world: World) -> None:
    world = own_world
    unsettled = world.audit(Asked(outlets=True, settle=timedelta(milliseconds=1)))
    assert unsettled.verdict == "unsettled"
    assert any("live-events[0]" in line for line in unsettled.unsettled)
    assert world.audit().outlets == []
    with _relay(world.settings):
        receipt = world.audit(SETTLED)
    assert receipt.difference_counts == {}
    events, letters = receipt.compared.events, receipt.compared.dead_letters
    counts = _counts(receipt)
    assert counts["live-events"] == (events, 0)
    assert sum(delivered for topic, (delivered, _) in counts.items() if topic != "live-events") == letters

    _write(world.settings, "live-events", b"hello", {})
    _write(world.settings, "broadcast-events-dlq", b"hello", {"letter": "1"})
    assert world.audit(OUTLETS).difference_counts == {"outlet_record": 2}
    position = "SELECT generation, chain FROM delivery_shards AS d JOIN events AS e USING (shard)"
    row = world.database.execute(f"{position} WHERE shard = 0 AND position = 2").fetchone()
    assert row is not None
    place = {"generation": str(row[0]), "position": "2", "chain": row[1].hex}
    _write(world.settings, "live-events", b"{}", place)
    assert world.audit(OUTLETS).difference_counts == {"outlet_record": 2, "outlet_bytes": 1}
    assert world.audit().verdict == "clean"

    world.database.execute("UPDATE dead_letters SET reason = 'late' WHERE reason = 'conflicting_duplicate'")
    found = world.audit(OUTLETS).difference_counts
    assert found["outlet_bytes"] == 2
    world.database.execute("DELETE FROM events WHERE shard = 0 AND position = 3")
    assert world.audit(OUTLETS).difference_counts["outlet_record"] == 3
