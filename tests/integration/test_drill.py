"""A disaster rehearsed beside the whole platform, under load: what comes back is what was there."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from redis import Redis

from local.environment import environment_of
from settings import ROOT, Settings
from tests.fixtures.postgres_backups import Backups

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

SECONDS = 12


@pytest.fixture
def backups(whole_platform: Settings) -> Backups:
    """Those of the platform itself, whose archiver runs."""
    return Backups(whole_platform, Path(whole_platform.backup_place), {})


@contextmanager
def _load(settings: Settings, ledger: Path) -> Iterator[None]:
    """A short match day with everything that goes wrong in one."""
    asked = f"--seed 11 --seconds {SECONDS} --rate 100 --matches 2".split()
    simulator = subprocess.Popen(
        [sys.executable, "-m", "local.simulator", *asked, "--ledger", str(ledger)],
        cwd=ROOT,
        env=environment_of(settings) | {"PATH": os.environ["PATH"]},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
        assert simulator.wait(120) == 0
    finally:
        simulator.kill()
        simulator.wait()


def test_what_a_disaster_leaves_becomes_the_live_log_again_and_the_live_stack_feels_nothing(
    whole_platform: Settings, backups: Backups, tmp_path: Path
) -> None:
    """Backup, archive and Kafka are enough: no event is lost, none is added, and Redis is made anew."""
    assert backups.is_archived()
    with _load(whole_platform, tmp_path / "ledger.jsonl"):
        backups.do("backup")
        stores = backups.run("backup", "create")
        assert stores.returncode == 0, stores.stderr
        done = backups.run("drill", "--within", "2m", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    receipt = json.loads(done.stdout)
    assert (receipt["verdict"], receipt["audit"], receipt["lost_after_catch_up"]) == ("passed", "clean", 0)
    assert receipt["rpo_seconds"] < receipt["rpo_promised_seconds"]
    assert receipt["rto_seconds"] < receipt["rto_promised_seconds"]
    assert receipt["stores"] == "of the newest backup"
    assert sum(shard["restored_head"] for shard in receipt["shards"]) > 0
    assert all(shard["is_same_history"] for shard in receipt["shards"])
    assert all(shard["lost"] == shard["extra"] == 0 for shard in receipt["shards"])
    assert all(shard["generation"] > shard["live_generation"] for shard in receipt["shards"])
    folder = max((whole_platform.data / "drills").iterdir())
    assert sorted(path.name for path in folder.iterdir()) == ["receipt.json", "receipt.txt"]
    assert receipt["backup"] in (folder / "receipt.txt").read_text()

    audited = backups.run("audit", "--settle", "60s")
    assert audited.returncode == 0, audited.stdout + audited.stderr

    # Redis needs no backup: what it held is made anew from the log.
    with Redis.from_url(whole_platform.redis) as redis:
        redis.flushall()
    audited = backups.run("audit", "--settle", "60s")
    assert audited.returncode == 0, audited.stdout + audited.stderr


def test_a_stores_backup_that_cannot_be_restored_fails_the_drill(
    whole_platform: Settings, backups: Backups
) -> None:
    """However well the lanes do without it: one that is damaged is not one that is missing."""
    backups.do("backup")
    created = backups.run("backup", "create", "--json")
    assert created.returncode == 0, created.stderr
    name = json.loads(created.stdout)["name"]
    # The platform makes sound ones each minute: this one is the newest for good.
    newest = Path(whole_platform.backup_place) / "stores" / f"2999{name[4:]}"
    newest.with_name(name).rename(newest)
    (newest / "manifest.json").write_bytes(b"{}")
    try:
        done = backups.run("drill", "--within", "2m", "--json")
    finally:
        shutil.rmtree(newest)
    assert done.returncode == 1, done.stdout + done.stderr
    receipt = json.loads(done.stdout)
    assert (receipt["verdict"], receipt["audit"]) == ("failed", "clean")
    (reason,) = receipt["reasons"]
    assert f"ManifestError: backup {newest.name}" in reason


def test_a_drill_that_could_not_run_tells_a_program_why(whole_platform: Settings, backups: Backups) -> None:
    backups.do("backup")
    alone = Backups(replace(whole_platform, kafka="127.0.0.1:1"), backups.folder, {})
    done = alone.run("drill", "--json")
    assert done.returncode == 2, done.stdout + done.stderr
    assert json.loads(done.stdout)["error"] == "CannotRunError"
