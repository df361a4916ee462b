"""Metrics are pushed where the settings say, by a process that waits for nobody."""

import socket
import subprocess
import sys
from datetime import timedelta

from settings import ROOT, Settings, variables_of
from tests.fixtures.waiting import eventually
from tests.metrics_collector import MetricsCollector

COUNTS = """
import sys
from settings import load
from telemetry import log
from telemetry.export import export_metrics
from telemetry.metrics import counter, gauge
log.configure("plain")
refused = counter("tried_refused_records", "made before anybody asks for it")
export_metrics(load(), "tried")
refused.add(3, {"reason": "late"})
gauge("tried_waiting_rows", "made afterwards").set(7)
print("sdk" if "opentelemetry.sdk.metrics" in sys.modules else "no sdk", flush=True)
sys.stdin.read()
"""


def counting(settings: Settings) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", COUNTS],
        cwd=ROOT,
        env=variables_of(settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_a_process_counts_is_pushed() -> None:
    with (
        MetricsCollector() as collector,
        counting(Settings(metrics_url=collector.url, metrics_interval=timedelta(seconds=1))) as process,
    ):
        eventually(lambda: collector.value("tried", "tried_refused_records", "reason=late") == 3)
        eventually(lambda: collector.value("tried", "tried_waiting_rows") == 7)
        process.communicate()


def test_without_an_address_nothing_is_loaded() -> None:
    with counting(Settings()) as process:
        assert process.communicate()[0] == "no sdk\n"


def test_a_process_ends_also_while_a_push_hangs() -> None:
    """A lane or a gateway that is replaced must not wait for whoever collects its numbers."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"http://127.0.0.1:{mute.getsockname()[1]}/v1/metrics"
        with counting(Settings(metrics_url=address, metrics_interval=timedelta(seconds=1))) as process:
            connection, _ = mute.accept()
            with connection:
                assert connection.recv(1)
                process.communicate(timeout=10)
        assert process.returncode == 0


def test_a_collector_that_goes_and_comes_is_logged_once_each() -> None:
    with MetricsCollector() as collector:
        settings = Settings(metrics_url=collector.url, metrics_interval=timedelta(seconds=1))
        process = counting(settings)
        eventually(lambda: collector.value("tried", "tried_refused_records", "reason=late") == 3)
        collector.refuses = True
        eventually(lambda: collector.refused >= 3)
        collector.refuses = False
        collector.forget()
        eventually(lambda: collector.value("tried", "tried_refused_records", "reason=late") == 3)
        _, told = process.communicate()
    lines = [line.split()[3] for line in told.splitlines()]
    assert lines == ["metrics.collector_lost", "metrics.collector_back"], told
