"""Poison on a raw topic: each bad message stops only itself, and is a dead letter with reason and origin."""

import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import msgspec
import psycopg
import pytest
from confluent_kafka import Producer

from local.environment import environment_of
from schemas import letters
from schemas.partitioning import partition_of
from schemas.validation import Rejection, parse
from settings import ROOT, Settings
from tests.event_builders import a_reading, encoded

# Recorded by others, not part of this repository; see its README for origin and licence.
REAL = ROOT.parent / "shared" / "real"
MATCH = "poisoned"

OWN_POISON = [
    b"",
    b"null",
    b"{",
    b"\xff\xfe\x00",
    b'{"source":"sensors"}',
    b"[" * 50_000,
    b" " * 70_000,
    encoded(a_reading("nul", match=MATCH)).replace(b'"nul"', b'"\\u0000"'),
    encoded(a_reading("half", match=MATCH)).replace(b'"half"', b'"\\ud800"'),
    encoded(a_reading("huge", match=MATCH)).replace(b'"huge"', b'"' + b"x" * 200 + b'"'),
    encoded(a_reading("number", match=MATCH, heart_rate=140)).replace(b"140", b"1e400"),
    b"DROP TABLE events; --",
]


def _recorded() -> list[bytes]:
    cases = [path.read_bytes() for path in sorted((REAL / "json").glob("*.json"))]
    naughty = json.loads((REAL / "blns.json").read_text())
    return cases + [text.encode("utf-8", "surrogatepass") for text in naughty]


def _run(settings: Settings, poison: list[bytes]) -> None:
    """Produce poison between good readings, drain, and account for every record."""
    producer = Producer({"bootstrap.servers": settings.kafka, "enable.idempotence": True, "log_level": 2})
    topic, partition = f"{settings.topic_prefix}sensor-events", partition_of(MATCH, settings.shards)
    good = 0
    for number, value in enumerate(poison):
        producer.produce(topic, value, MATCH.encode(), partition)
        if number % 2 == 0:
            producer.produce(
                topic, encoded(a_reading(f"good-{good}", match=MATCH)), MATCH.encode(), partition
            )
            good += 1
    producer.flush(30)
    done = subprocess.run(
        [sys.executable, "-m", "bytewax.run", "dataflows.enrich"],
        cwd=ROOT,
        env=environment_of(msgspec.structs.replace(settings, stop_at_end=True))
        | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    with closing(psycopg.connect(settings.postgres)) as connection:
        events = connection.execute(
            "SELECT payload ->> 'seq', payload -> 'event' ->> 'source_event_id' FROM events ORDER BY position"
        ).fetchall()
        rows = connection.execute(
            "SELECT d.reason, d.detail, t.name, d.partition, d.source_offset, d.original"
            " FROM dead_letters AS d JOIN topics AS t USING (topic) ORDER BY d.source_offset"
        ).fetchall()
    assert [name for _, name in events] == [f"good-{number}" for number in range(good)]
    assert len(rows) == len(poison)
    assert [original for *_, original in rows] == poison
    assert {(name, place) for _, _, name, place, _, _ in rows} == {("sensor-events", partition)}
    for (reason, detail, *_), value in zip(rows, poison, strict=True):
        refusal = parse(value)
        assert isinstance(refusal, Rejection)
        assert reason == refusal.reason in letters.REASONS
        assert detail
    sys.stderr.write(f"{good} good, {len(rows)} dead: {dict(Counter(row[0] for row in rows))}\n")


def test_each_bad_message_stops_only_itself(installation: Settings) -> None:
    """Every good record arrives in order, every bad one is accounted for, and the process ends well."""
    _run(installation, OWN_POISON)


@pytest.mark.skipif(
    not Path(REAL).exists(), reason="the recorded JSON cases lie beside the checkout, not in it"
)
def test_recorded_poison_is_accounted_for(installation: Settings) -> None:
    """JSONTestSuite and the list of naughty strings as message bodies."""
    _run(installation, _recorded())
