"""`python -m bytewax.run dataflows.enrich` on real Kafka and PostgreSQL, as a data engineer runs it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest
from confluent_kafka import Producer

from dataflows.lane import EXIT_FAILED
from local.environment import environment_of
from schemas.partitioning import partition_of
from settings import ROOT, Settings
from storage import resume
from tests.event_builders import a_cancel_of, a_goal, a_pass, encoded
from tests.fixtures.waiting import eventually

LONG = timedelta(seconds=60)
MATCHES = [f"match-{number}" for number in range(6)]


def _produce(settings: Settings, first: int, count: int, repeats: int = 0) -> None:
    """Passes with a goal and its reversal now and then; the last `repeats` are sent again."""
    producer = Producer({"bootstrap.servers": settings.kafka, "enable.idempotence": True, "log_level": 2})
    values: list[tuple[str, bytes]] = []
    for number in range(first, first + count):
        match = MATCHES[number % len(MATCHES)]
        goal = a_goal(f"g{number}", match=match, side="home")
        values.append((match, encoded(goal if number % 50 == 0 else a_pass(f"p{number}", match=match))))
        if number % 100 == 0:
            values.append((match, encoded(a_cancel_of(goal))))
    for match, value in values + values[len(values) - repeats :]:
        partition = partition_of(match, settings.shards)
        producer.produce(f"{settings.topic_prefix}broadcast-events", value, match.encode(), partition)
    producer.flush(30)


def _distinct(first: int, count: int) -> int:
    return count + sum(1 for number in range(first, first + count) if number % 100 == 0)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bytewax.run", "dataflows.enrich", *arguments]


def _environment(settings: Settings, stop_at_end: bool) -> dict[str, str]:
    said = msgspec.structs.replace(settings, stop_at_end=stop_at_end)
    return environment_of(said) | {"PATH": os.environ["PATH"]}


def _drain(settings: Settings, *arguments: str) -> str:
    done = subprocess.run(
        _command(*arguments),
        cwd=ROOT,
        env=_environment(settings, stop_at_end=True),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def _rows(settings: Settings) -> int:
    with closing(psycopg.connect(settings.postgres)) as connection:
        row = connection.execute("SELECT count(*) FROM events").fetchone()
        assert row is not None
        return int(row[0])


def _wait_for_rows(settings: Settings, before: int) -> None:
    eventually(lambda: _rows(settings) > before, LONG)


def _assert_order(settings: Settings) -> None:
    """In each match the offsets rise with seq, and seq is gapless."""
    with closing(psycopg.connect(settings.postgres)) as connection:
        for match in MATCHES:
            rows = connection.execute(
                "SELECT seq, source_offset FROM events WHERE match = %s ORDER BY seq", (match,)
            ).fetchall()
            assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
            assert [row[1] for row in rows] == sorted(row[1] for row in rows)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_alone_does_the_work(installation: Settings, workers: str) -> None:
    """With the servers up, the one command reads everything into the log; two workers do as well."""
    _produce(installation, 0, 2_000, repeats=500)
    _drain(installation, "-w", workers)
    assert _rows(installation) == _distinct(0, 2_000)
    _assert_order(installation)


def test_what_the_lane_before_committed_is_missed_before_a_record_comes(installation: Settings) -> None:
    """Reading goes on where the log said at the start, so all shards are proved from then on."""
    last_fence = "SELECT fence FROM delivery_shards WHERE shard = %s"
    last = (installation.shards - 1,)
    producer = Producer({"bootstrap.servers": installation.kafka, "log_level": 2})
    producer.produce(f"{installation.topic_prefix}broadcast-events", b"not json", b"k", 0)
    producer.flush(30)
    _drain(installation)
    with closing(psycopg.connect(installation.postgres, autocommit=True)) as database, ExitStack() as stack:
        before = database.execute(last_fence, last).fetchone()
        environment = _environment(installation, stop_at_end=False)
        lane = stack.enter_context(subprocess.Popen(_command(), cwd=ROOT, env=environment))
        stack.callback(lane.kill)
        eventually(lambda: database.execute(last_fence, last).fetchone() != before, LONG)
        database.execute("WITH gone AS (DELETE FROM dead_letters) DELETE FROM commit_tokens")
        assert lane.wait(LONG.total_seconds()) == EXIT_FAILED


def test_it_goes_on_without_its_recovery_store(installation: Settings, tmp_path: Path) -> None:
    """The store is a convenience: deleted between two runs, nothing is lost and nothing is twice."""
    store = tmp_path / "recovery"
    arguments = ("-r", str(store), "-s", "1", "-b", "0")
    _produce(installation, 0, 1_000, repeats=300)
    _drain(installation, *arguments)
    assert _rows(installation) == _distinct(0, 1_000)
    shutil.rmtree(store)
    _produce(installation, 900, 1_100, repeats=100)
    _drain(installation, *arguments)
    assert _rows(installation) == _distinct(0, 2_000)
    _assert_order(installation)


def test_a_killed_lane_is_continued_exactly(installation: Settings, tmp_path: Path) -> None:
    """SIGKILL at a moment of its work, twice; the next run reads on where the log says."""
    arguments = ("-r", str(tmp_path / "recovery"), "-s", "1", "-b", "0")
    total = 12_000
    _produce(installation, 0, total, repeats=2_000)
    for _ in range(2):
        before = _rows(installation)
        lane = subprocess.Popen(
            _command(*arguments),
            cwd=ROOT,
            env=_environment(installation, stop_at_end=False),
            stderr=subprocess.DEVNULL,
        )
        _wait_for_rows(installation, before)
        lane.send_signal(signal.SIGKILL)
        lane.wait()
        if before == 0:
            _produce(installation, total, 3_000)
    _drain(installation, *arguments)
    assert _rows(installation) == _distinct(0, total + 3_000)
    _assert_order(installation)


@contextmanager
def _running(settings: Settings, store: Path, **changes: object) -> "Iterator[subprocess.Popen[bytes]]":
    """A lane that is asked to stop at the end, and must end well."""
    said = msgspec.structs.replace(settings, **changes)
    argv = _command("-r", str(store), "-s", "1", "-b", "0")
    lane = subprocess.Popen(argv, cwd=ROOT, env=_environment(said, stop_at_end=False))
    try:
        yield lane
    finally:
        lane.terminate()
        assert lane.wait(timeout=30) == 0


def _read_to(settings: Settings) -> int:
    """How many records the log says were read."""
    with closing(psycopg.connect(settings.postgres)) as connection:
        return sum(
            offset
            for shard in range(settings.shards)
            for offset in resume.next_offsets(connection, shard).values()
        )


def test_a_lane_that_is_asked_to_stop_leaves_nothing_to_repeat(
    installation: Settings, tmp_path: Path
) -> None:
    """SIGTERM in the middle of its work closes the flow epoch, and the next start reads only what is new."""
    store = tmp_path / "recovery"
    _produce(installation, 0, 12_000)
    with _running(installation, store):
        _wait_for_rows(installation, 0)
    assert _read_to(installation) == _rows(installation)
    prepared = subprocess.run(
        [sys.executable, "-m", "recovery", "prepare", str(store)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "0 rows of unclosed epochs deleted" in prepared.stdout
    _drain(installation, "-r", str(store), "-s", "1", "-b", "0")
    assert _rows(installation) == _distinct(0, 12_000)
    _assert_order(installation)


def test_a_lane_takes_over_from_one_that_leaves(installation: Settings, tmp_path: Path) -> None:
    """The next lane waits for the store of the one before, however long that takes to stop."""
    store = tmp_path / "recovery"
    _produce(installation, 0, 1_000)
    with ExitStack() as after:
        with _running(installation, store):
            _wait_for_rows(installation, 0)
            after.enter_context(_running(installation, store, store_wait=LONG))
        _produce(installation, 1_000, 1_000)
        eventually(lambda: _rows(installation) == _distinct(0, 2_000), LONG)
    _assert_order(installation)
