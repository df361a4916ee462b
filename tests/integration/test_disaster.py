"""The worst night: stores, Redis and the database are lost under load; backups and Kafka bring all back."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psutil
import psycopg
import pytest
from msgspec.structs import replace

from local.environment import environment_of, inherited
from settings import ROOT, Settings, load
from tests.fixtures.postgres_backups import Backups
from tests.fixtures.stack import running_stack
from tests.fixtures.waiting import eventually
from tests.free_ports import a_free_base

pytestmark = pytest.mark.integration

# The upstreams go on through all of it, and wait while nobody takes what they have.
DAY = ("--seed", "23", "--matches", "2", "--seconds", "0", "--rate", "150", "--malformed", "0.02")
LONG = timedelta(seconds=60)


@pytest.fixture
def ours(tmp_path: Path) -> Settings:
    """An installation whose servers may be lost."""
    data, backups = tmp_path / "data", tmp_path / "backups"
    base = {"TOUCHLINE_PORT_BASE": str(a_free_base()), "TOUCHLINE_DATA": str(data)}
    return replace(load(base), backup=str(backups))


@pytest.fixture
def upstreams(ours: Settings, tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A match day that begins when somebody asks, and waits for whoever is away."""
    argv = (sys.executable, "-m", "local.simulator", *DAY, "--ledger", str(tmp_path / "ledger"))
    process = subprocess.Popen(
        argv,
        cwd=ROOT,
        env=inherited(environment_of(ours)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield process
    process.kill()
    process.wait()


def _events(settings: Settings) -> int:
    with psycopg.connect(settings.postgres) as connection:
        row = connection.execute("SELECT count(*) FROM events").fetchone()
    return int(row[0]) if row else 0


def _cluster(settings: Settings) -> int:
    """What tells one database cluster from every other, and a restored one shares with its backup."""
    with psycopg.connect(settings.postgres) as connection:
        row = connection.execute("SELECT system_identifier FROM pg_control_system()").fetchone()
    assert row is not None
    return int(row[0])


def _lives(settings: Settings) -> dict[int, int]:
    with psycopg.connect(settings.postgres) as connection:
        return dict(connection.execute("SELECT shard, generation FROM delivery_shards").fetchall())


def _kill_all(stack: "subprocess.Popen[bytes]") -> None:
    """SIGKILL everything at once, as a power cut does."""
    family = [psutil.Process(stack.pid), *psutil.Process(stack.pid).children(recursive=True)]
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=20)


@pytest.mark.timeout(400)
def test_a_platform_that_lost_everything_but_its_backups_and_kafka_goes_on(
    ours: Settings, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Commits that no archive had yet come back from Kafka; fans' streams are made anew."""
    backups = Backups(ours, tmp_path / "backups", {})
    with running_stack(ours, "--platform") as stack:
        day: subprocess.Popen[bytes] = request.getfixturevalue("upstreams")
        eventually(lambda: _events(ours) > 300, LONG)
        backups.do("backup")
        stores = backups.run("backup", "create")
        assert stores.returncode == 0, stores.stderr
        at_backup, cluster = _events(ours), _cluster(ours)
        assert backups.is_archived()  # what comes behind it need not be
        eventually(lambda: _events(ours) > at_backup + 300, LONG)
        _kill_all(stack)

    for lost in ("recovery", "redis", "postgres"):
        assert (ours.data / lost).exists()
        shutil.rmtree(ours.data / lost)
    restored = backups.do("restore", "--into", str(ours.data / "postgres" / "data"), "--promote")
    assert sum(shard["position"] for shard in restored["shards"]) >= at_backup
    put_back = backups.run("restore", "--json")
    assert put_back.returncode == 0, put_back.stdout + put_back.stderr

    with running_stack(ours, "--platform"):
        assert _cluster(ours) == cluster
        # A shard whose first event comes only now begins a life of its own; the others keep theirs.
        restored_lives = {shard["shard"]: shard["generation"] for shard in restored["shards"]}
        assert _lives(ours).items() >= restored_lives.items()
        at_restore = _events(ours)
        eventually(lambda: _events(ours) > at_restore + 300, LONG)
        day.terminate()
        assert day.wait(20) == 0
        audited = backups.run("audit", "--ledger", str(tmp_path / "ledger"), "--settle", "60s", "--json")
        assert audited.returncode == 0, audited.stdout[:3000] + audited.stderr
        assert json.loads(audited.stdout)["verdict"] == "clean"
