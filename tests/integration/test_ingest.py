"""Ingest as a process, with real upstreams and a real Kafka."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from local.environment import environment_of
from schemas.partitioning import partition_of
from schemas.validation import Rejection, parse
from settings import ROOT, Settings
from tests.event_builders import a_goal, a_pass, a_post, a_reading, encoded
from tests.fixtures.mock_kafka import records_on
from tests.fixtures.upstream_server import UpstreamServer
from tests.fixtures.waiting import eventually
from tests.free_ports import a_free_base

pytestmark = pytest.mark.integration

SOON = timedelta(seconds=30)
Process = subprocess.Popen[bytes]


@pytest.fixture
def settings(installation: Settings, upstream: UpstreamServer) -> Settings:
    """An installation whose ingest listens on ports of its own and reads our upstream."""
    return replace(
        installation,
        port_base=a_free_base(),
        broadcast_url=f"{upstream.url}/broadcast",
        social_url=f"{upstream.url}/social",
        broadcast_interval=timedelta(milliseconds=20),
    )


def start(settings: Settings, *arguments: str) -> Process:
    settings.data.mkdir(parents=True, exist_ok=True)
    environment = environment_of(settings) | {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "default"}
    with (settings.data / "ingest.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "ingest", *arguments], cwd=ROOT, env=environment, stdout=log, stderr=log
        )


@contextmanager
def running(settings: Settings) -> Iterator[Process]:
    """An ingest that is ready, killed at the end if it still runs."""
    process = start(settings)
    try:
        eventually(lambda: is_ready(settings), SOON)
        yield process
    finally:
        process.kill()
        process.wait()


def is_ready(settings: Settings) -> bool:
    try:
        return httpx.get(f"{settings.url('ingest')}/health/ready", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def pushed(settings: Settings, body: bytes) -> httpx.Response:
    headers = {"Content-Type": "application/x-ndjson"}
    url = f"{settings.url('ingest')}/sensors"
    return httpx.post(url, content=body, headers=headers, trust_env=False, timeout=20)


def ids_on(settings: Settings, topic: str) -> list[str]:
    """The good records of a topic; each must stand in the partition of its match."""
    ids = []
    for message in records_on(settings.kafka, settings.topic_prefix + topic, settings.shards):
        event = parse(message.value())
        if not isinstance(event, Rejection):
            assert message.partition() == partition_of(event.match, settings.shards)
            assert event.ingested_at is not None
            ids.append(event.source_event_id)
    return ids


def numbered(prefix: str, number: int) -> list[str]:
    return [f"{prefix}-{index}" for index in range(number)]


def _ready(settings: Settings) -> Any:
    """What it says of itself, once all of its parts are well."""
    said = httpx.get(f"{settings.url('ingest')}/health/ready", trust_env=False, timeout=20).json()
    assert all(part["ok"] for part in said["parts"].values()), said
    return said


def test_all_three_ways_in_lead_to_their_topics(settings: Settings, upstream: UpstreamServer) -> None:
    upstream.broadcast += [encoded(a_goal("g-0")), b"no json", encoded(a_pass("g-1"))]
    with running(settings) as process:
        readings = b"\n".join(encoded(a_reading(name)) for name in numbered("s", 3))
        assert pushed(settings, readings).json() == {"accepted": 3, "rejected": []}
        upstream.add_posts([encoded(a_post(name)) for name in numbered("p", 2)])
        eventually(lambda: ids_on(settings, "social-events") == numbered("p", 2), SOON)
        eventually(lambda: upstream.confirmed == 3, SOON)
        ready = eventually(lambda: _ready(settings), SOON)
        process.terminate()
        assert process.wait(timeout=20) == 0
    assert ids_on(settings, "sensor-events") == numbered("s", 3)
    assert ids_on(settings, "broadcast-events") == numbered("g", 2)
    assert set(ready["parts"]) == {"kafka", "broadcast", "social"}
    assert ready["records"]["broadcast"] == {"accepted": 2, "forwarded": 1}


def test_a_kill_at_any_point_loses_nothing_that_was_acknowledged(
    settings: Settings, upstream: UpstreamServer
) -> None:
    """Killed once while idle, and after every few pages and pushes that follow."""
    total, told = 3_000, list[str]()
    upstream.broadcast += [encoded(a_pass(name)) for name in numbered("b", total)]
    upstream.add_posts([encoded(a_post(name)) for name in numbered("p", total)])
    names = (f"s-{number}" for number in count())
    for kill_at in (300, 1_100, 2_000, total):
        with running(settings) as process:
            while upstream.confirmed < kill_at:
                batch = [next(names) for _ in range(20)]
                answer = pushed(settings, b"\n".join(encoded(a_reading(name)) for name in batch))
                if answer.status_code == 202:
                    told += batch
            process.kill()  # wherever it stands: feeds and posts are still under way
            process.wait()
    with running(settings):
        eventually(lambda: len(set(ids_on(settings, "social-events"))) == total, SOON)
    assert set(numbered("b", total)) <= set(ids_on(settings, "broadcast-events"))
    assert told
    assert set(told) <= set(ids_on(settings, "sensor-events"))


def test_a_replay_ends_by_itself_and_opens_no_port(settings: Settings, upstream: UpstreamServer) -> None:
    upstream.broadcast += [encoded(a_pass(name)) for name in numbered("b", 120)]
    upstream.has_ended = True
    process = start(replace(settings, ingest_adapters="broadcast"), "--until-end")
    assert process.wait(timeout=30) == 0
    assert upstream.confirmed == 120
    assert ids_on(settings, "broadcast-events") == numbered("b", 120)
    assert not is_ready(settings)


def test_a_body_without_a_length_is_bounded_too(settings: Settings) -> None:
    bounded = replace(settings, ingest_body_limit=100_000, ingest_adapters="sensors")
    with running(bounded):

        def endless() -> Iterator[bytes]:
            for _ in range(1_000):
                yield b" " * 1_000

        headers = {"Content-Type": "application/json"}
        url = f"{bounded.url('ingest')}/sensors"
        assert httpx.post(url, content=endless(), headers=headers, trust_env=False).status_code == 413


def test_a_port_in_use_is_said_with_what_to_do(settings: Settings) -> None:
    only_push = replace(settings, ingest_adapters="sensors")
    with running(only_push):
        second = start(only_push)
        assert second.wait(timeout=20) == 2
    assert "TOUCHLINE_PORT_BASE" in (settings.data / "ingest.log").read_text()


@pytest.mark.parametrize(
    ("change", "arguments", "complaint"),
    [
        ({"ingest_adapters": "sensors,telepathy"}, (), "TOUCHLINE_INGEST_ADAPTERS"),
        ({"broadcast_format": "opta"}, (), "statsbomb, touchline"),
        ({}, ("--until-end",), "TOUCHLINE_INGEST_ADAPTERS=broadcast"),
    ],
)
def test_a_setting_that_does_not_fit_is_said_before_anything_starts(
    settings: Settings, change: dict[str, str], arguments: tuple[str, ...], complaint: str
) -> None:
    process = start(replace(settings, **change), *arguments)
    assert process.wait(timeout=20) == 2
    assert complaint in (settings.data / "ingest.log").read_text()


def test_log_lines_are_json_for_machines(settings: Settings) -> None:
    with running(settings) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
    lines = [json.loads(line) for line in (settings.data / "ingest.log").read_text().splitlines()]
    assert {"ingest.started", "ingest.stopped"} <= {line["event"] for line in lines}
