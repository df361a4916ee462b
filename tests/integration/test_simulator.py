"""Match days on the whole platform: a simulator that is killed in the middle, a delivery that is missing."""

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis

from local.environment import environment_of, inherited
from settings import ROOT, Settings
from tests.fixtures.waiting import eventually
from tests.metrics_collector import MetricsCollector

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

DAY = ("--seed", "11", "--matches", "2", "--seconds", "8", "--rate", "150", "--malformed", "0.05")


def simulate(settings: Settings, ledger: Path) -> "subprocess.Popen[bytes]":
    argv = (sys.executable, "-m", "local.simulator", *DAY, "--ledger", str(ledger))
    environment = inherited(environment_of(settings))
    return subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def killed_when_written(settings: Settings, ledger: Path, lines: int) -> None:
    """Run the simulator until its ledger has so many lines, then SIGKILL it."""
    process = simulate(settings, ledger)
    eventually(lambda: _lines(ledger) >= lines, timedelta(seconds=90))
    process.send_signal(signal.SIGKILL)
    process.communicate()


def _lines(ledger: Path) -> int:
    return ledger.read_bytes().count(b"\n") if ledger.exists() else 0


def play(settings: Settings, ledger: Path) -> dict[str, object]:
    """Kill it twice on the way, let it finish, audit; return the audit's receipt."""
    killed_when_written(settings, ledger, 100)
    killed_when_written(settings, ledger, 500)
    process = simulate(settings, ledger)
    said, complaints = process.communicate(timeout=120)
    assert process.returncode == 0, complaints.decode()
    assert json.loads(said)["complete"]
    audit = subprocess.run(
        (sys.executable, "-m", "recovery", "audit", "--ledger", str(ledger), "--settle", "60s", "--json"),
        cwd=ROOT,
        env=inherited(environment_of(settings)),
        capture_output=True,
        check=False,
    )
    assert audit.returncode == 0, audit.stderr.decode() + audit.stdout.decode()[:3000]
    receipt: dict[str, object] = json.loads(audit.stdout)
    return receipt


def test_a_killed_simulator_goes_on_and_everything_it_says_comes_out(
    whole_platform: Settings, tmp_path: Path
) -> None:
    """What it had not yet written down is said again, and nothing of that shows."""
    ledger = tmp_path / "ledger.jsonl"
    assert play(whole_platform, ledger)["verdict"] == "clean"
    lines = ledger.read_bytes().splitlines()
    assert len(set(lines)) == len(lines)
    assert {json.loads(line)["kind"] for line in lines} == {
        "start",
        "record",
        "conflict",
        "malformed",
        "refused",
        "final",
        "day",
        "end",
    }


def _pid(settings: Settings, part: str) -> int:
    said = subprocess.run(
        (sys.executable, "-m", "local", "status", "--json"),
        cwd=ROOT,
        env=inherited(environment_of(settings)),
        capture_output=True,
        check=False,
    )
    (found,) = [each for each in json.loads(said.stdout)["parts"] if each["name"] == part]
    return int(found["pid"])


def test_the_platform_tells_of_a_missing_delivery_by_itself(
    whole_platform: Settings, metrics_collector: MetricsCollector, tmp_path: Path
) -> None:
    """Streams that are gone, and a relay that sleeps: logged, a metric, and again when all is well."""

    def missing() -> float | None:
        return metrics_collector.value("audit", "audit_undelivered_shards")

    log = whole_platform.data / "logs" / "audit.log"
    day = simulate(whole_platform, tmp_path / "ledger.jsonl")
    with Redis.from_url(whole_platform.redis) as redis:
        streams = eventually(lambda: list(redis.scan_iter("ev:*")), timedelta(seconds=30))
        relay = _pid(whole_platform, "deliver")
        os.kill(relay, signal.SIGSTOP)
        try:
            redis.delete(*streams)
            eventually(lambda: "audit.undelivered" in log.read_text(), timedelta(seconds=60))
            eventually(missing)
        finally:
            os.kill(relay, signal.SIGCONT)
    eventually(lambda: "audit.delivered" in log.read_text(), timedelta(seconds=60))
    eventually(lambda: missing() == 0)
    assert metrics_collector.value("audit", "audit_differences", "kind=undelivered")
    assert metrics_collector.value("deliver", "relay_repaired_events")
    day.terminate()
    day.communicate()
