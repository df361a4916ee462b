"""Who holds what, and dealing the shards to another number of lanes, with real lanes on a real log."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest
from confluent_kafka import Producer

from local.environment import environment_of
from recovery.audit.meter import Silence
from recovery.audit.run import Asked, run_audit
from recovery.lanes.deal import DealRefusedError, deal, plan_deal, refuse_if_held
from recovery.lanes.state import Lanes, look_at_lanes, store_of
from recovery.prepare import StoreInUseError
from schemas.partitioning import partition_of
from settings import ROOT, Settings
from storage.connect import connect
from storage.lane_reads import WRITER, lane_sessions, shard_owners
from tests.event_builders import a_pass, encoded
from tests.fixtures.audit_world import World
from tests.fixtures.waiting import eventually

pytestmark = pytest.mark.integration

LONG = timedelta(seconds=60)
MATCHES = [f"match-{number}" for number in range(6)]


def produce(settings: Settings, numbers: Sequence[int]) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka, "enable.idempotence": True, "log_level": 0})
    for number in numbers:
        match = MATCHES[number % len(MATCHES)]
        topic, partition = f"{settings.topic_prefix}broadcast-events", partition_of(match, settings.shards)
        producer.produce(topic, encoded(a_pass(f"p{number}", match=match)), match.encode(), partition)
    producer.flush(30)


def start(settings: Settings, lane: int, lanes: int, stop_at_end: bool) -> "subprocess.Popen[bytes]":
    said = msgspec.structs.replace(settings, stop_at_end=stop_at_end, lane=f"{lane}/{lanes}")
    store = str(store_of(settings, lane))
    return subprocess.Popen(
        [sys.executable, "-m", "bytewax.run", "dataflows.enrich", "-r", store, "-s", "1", "-b", "0"],
        cwd=ROOT,
        env=environment_of(said) | {"PATH": os.environ["PATH"]},
        stderr=subprocess.DEVNULL,
    )


def drain(settings: Settings, lanes: int) -> None:
    """Run so many lanes at once until each has read all there is."""
    running = [start(settings, lane, lanes, stop_at_end=True) for lane in range(lanes)]
    assert [lane.wait(60) for lane in running] == [0] * lanes


@contextmanager
def running_lane(settings: Settings) -> "Iterator[subprocess.Popen[bytes]]":
    lane = start(settings, 0, 1, stop_at_end=False)
    try:
        yield lane
    finally:
        lane.kill()
        lane.wait()


def command(settings: Settings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "recovery", "lanes", *arguments],
        cwd=ROOT,
        env=environment_of(settings) | {"PATH": os.environ["PATH"], "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )


def look(settings: Settings) -> Lanes:
    with connect(settings.postgres, "touchline-test") as connection:
        owners = shard_owners(connection, settings.shards)
        return look_at_lanes(settings, owners, lane_sessions(connection))


def stores(settings: Settings) -> list[str]:
    return sorted(path.name for path in (settings.data / "recovery").iterdir() if path.is_dir())


def numbers_in_log(settings: Settings) -> list[int]:
    with closing(psycopg.connect(settings.postgres)) as connection:
        rows = connection.execute("SELECT payload::text FROM events")
        return sorted(int(json.loads(payload)["event"]["source_event_id"][1:]) for (payload,) in rows)


def test_shards_dealt_to_two_lanes_and_back_lose_and_repeat_nothing(installation: Settings) -> None:
    """Events come before, while no lane runs, and after; some of them again, which no new store remembers."""
    produce(installation, range(300))
    drain(installation, 1)
    produce(installation, range(200, 600))  # unread while the shards are dealt
    done = command(installation, "deal", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert "make" in done.stderr
    dealt = json.loads(done.stdout)
    assert (dealt["lanes_before"], dealt["lanes_after"]) == (1, 2)
    assert list(dealt["stores"].values()) == [[0], [1]]
    assert dealt["audit_before"] == dealt["audit_after"]
    # No relay runs here: what a lane did not get into Redis stays a hole there, and is no loss.
    assert set(dealt["audit_before"]) - {"stream_hole"} == {"unread", "sum"}
    drain(installation, 2)
    assert numbers_in_log(installation) == list(range(600))
    assert [lane.shards for lane in look(installation).lanes] == [[0], [1]]
    produce(installation, range(500, 800))
    back = deal(
        plan_deal(installation, 1, datetime.now(UTC)),
        lambda: run_audit(installation, Asked(), Silence()),
        list,
    )
    assert (back.lanes_before, back.lanes_after, len(back.aside)) == (2, 1, 2)
    assert [name.partition(".")[0] for name in stores(installation)] == [
        "enrich-0",
        "enrich-0",
        "enrich-0",
        "enrich-1",
    ]
    drain(installation, 1)
    assert numbers_in_log(installation) == list(range(800))
    assert set(run_audit(installation, Asked(), Silence()).difference_counts) <= {"stream_hole"}
    found = look(installation)
    assert [(lane.lane, lane.state) for lane in found.lanes] == [("0/1", "stopped")]
    assert found.findings == []


def test_running_lane_is_shown_and_keeps_its_shards(installation: Settings) -> None:
    produce(installation, range(50))
    with running_lane(installation) as lane:
        eventually(lambda: len(numbers_in_log(installation)) == 50, LONG)
        found = look(installation)
        (line,) = found.lanes
        assert (line.lane, line.shards) == ("0/1", [0, 1])
        assert (line.state, line.pid) == ("running", lane.pid)
        assert [session.lane for session in found.sessions] == ["0/1"]
        assert sum(shard.position for shard in found.shards) == 50
        assert all(len(shard.fence) == 8 and shard.generation for shard in found.shards)
        with pytest.raises(StoreInUseError):
            refuse_if_held(plan_deal(installation, 2, datetime.now(UTC)))
        done = command(installation, "deal", "2")
        assert done.returncode == 1
        assert "enrich-0 is in use by another process" in done.stderr
        assert stores(installation) == ["enrich-0"]
    done = command(installation)
    assert done.returncode == 0
    assert "stopped" in done.stdout


def test_lane_that_gave_way_goes_on_when_the_other_is_gone(installation: Settings) -> None:
    """At once when that one dies, and in the end although it lives: it may hang."""
    waiting = msgspec.structs.replace(
        installation, turn_wait=timedelta(minutes=5), data=installation.data / "b"
    )
    produce(installation, range(50))
    with running_lane(installation) as first:
        eventually(lambda: len(numbers_in_log(installation)) == 50, LONG)
        with running_lane(waiting) as second:
            produce(installation, range(50, 100))
            eventually(lambda: _asks(installation), LONG)
            eventually(lambda: len(numbers_in_log(installation)) == 100, LONG)
            assert first.poll() is None
            assert not stores(waiting)
            first.kill()
            produce(installation, range(100, 150))
            eventually(lambda: len(numbers_in_log(installation)) == 150, LONG)
            assert second.poll() is None
            hurried = msgspec.structs.replace(installation, turn_wait=timedelta(milliseconds=1))
            number = 150
            with running_lane(hurried):
                # It takes a shard with its first record: the second one must not have read all by then.
                deadline = time.monotonic() + LONG.total_seconds()
                while second.poll() is None and time.monotonic() < deadline:
                    produce(installation, [number])
                    number += 1
                assert second.returncode == os.EX_TEMPFAIL
                eventually(lambda: len(numbers_in_log(installation)) == number, LONG)
    assert numbers_in_log(installation) == list(range(number))


def _asks(settings: Settings) -> bool:
    """Whether a lane that starts has a session, and has had it for longer than to take shards over."""
    asked = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'touchline-enrich-start' AND"
    asked += " datname = current_database() AND backend_start < now() - interval '2 s'"
    with closing(psycopg.connect(settings.postgres)) as connection:
        return connection.execute(asked).fetchone() is not None


def test_lane_on_another_machine_keeps_its_shards(installation: Settings) -> None:
    """Its lock is on that machine, but its session is in the database."""
    with connect(installation.postgres, f"{WRITER} 3/4"):
        done = command(installation, "deal", "2", "--dry-run")
    assert done.returncode == 1
    assert "Would deal" in done.stderr
    assert "lanes are connected to write: 3/4 from 127.0.0.1" in done.stderr
    assert not (installation.data / "recovery" / "enrich-0").exists()


def _a_store(settings: Settings) -> Path:
    store = store_of(settings, 0)
    store.mkdir(parents=True, exist_ok=True)
    (store / "mark").touch()
    return store


def test_faulty_log_is_not_dealt(world: World) -> None:
    """Whoever finds the fault later could not say whether the deal made it."""
    store = _a_store(world.settings)
    world.database.execute("DELETE FROM events WHERE shard = 0 AND position = 3")
    plan = plan_deal(world.settings, 2, datetime.now(UTC))
    with pytest.raises(DealRefusedError, match=r"audit before found differences: .*position"):
        deal(plan, world.audit, list)
    assert (store / "mark").exists()


def test_log_that_went_on_meanwhile_is_told(world: World) -> None:
    store = _a_store(world.settings)
    receipt = world.audit()
    moved = msgspec.structs.replace(receipt.shards[1], head=receipt.shards[1].head + 1)
    later = msgspec.structs.replace(receipt, shards=[receipt.shards[0], moved])
    audits = iter([receipt, later])
    with pytest.raises(DealRefusedError, match=r"shards \[1\] went on"):
        deal(plan_deal(world.settings, 2, datetime.now(UTC)), lambda: next(audits), list)
    assert not (store / "mark").exists()


def test_more_lanes_than_shards_are_refused(installation: Settings) -> None:
    with pytest.raises(DealRefusedError, match="3 lanes cannot share 2 shards"):
        plan_deal(installation, 3, datetime.now(UTC))
