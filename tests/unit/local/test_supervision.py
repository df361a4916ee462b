"""The pure parts of the supervisor: delays, settings handed on, ports."""

import os
import random
import socket
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import psutil
import pytest

from local.child import Child
from local.environment import environment_of
from local.ownership import Record, is_alive
from local.ports import PortInUseError, check_free, free_base
from local.servers.kafka import BrokerCountError, broker_count
from local.topics import topic_names
from local.watch import LONGEST_DELAY, PROVEN_AFTER, Backoff
from settings import PORT_OFFSETS, load


def test_the_first_restart_comes_at_once_and_the_tenth_does_not_storm() -> None:
    """A kill heals within a second; a crash loop costs one start in ten seconds."""
    backoff = Backoff()
    delays = [backoff.after(timedelta()) for _ in range(10)]
    assert delays[0] <= timedelta(milliseconds=200)
    assert delays == sorted(delays)
    assert delays[-1] == LONGEST_DELAY


def test_a_child_that_proved_itself_starts_again_at_once() -> None:
    """An old crash loop is forgotten after ten good seconds."""
    backoff = Backoff()
    first = backoff.after(timedelta())
    for _ in range(5):
        backoff.after(timedelta())
    assert backoff.after(PROVEN_AFTER) == first


def test_a_child_gets_exactly_the_settings_of_its_parent() -> None:
    """Durations, paths and filled-in addresses survive the way through the environment."""
    settings = load(
        {
            "TOUCHLINE_DATA": "/somewhere with/spaces",
            "TOUCHLINE_HEARTBEAT": "250ms",
            "TOUCHLINE_STOP_AT_END": "true",
            "TOUCHLINE_PORT_BASE": "31000",
        }
    )
    assert load(environment_of(settings)) == settings


def test_a_port_in_use_is_reported_with_part_and_holder() -> None:
    """Which, by what, and the way out: all in one sentence."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortInUseError) as caught:
            check_free([Child(name="redis", argv=("x",), ports=(port,))])
    assert (caught.value.port, caught.value.part) == (port, "redis")
    assert str(os.getpid()) in caught.value.holder
    assert "TOUCHLINE_PORT_BASE" in str(caught.value)


def test_a_port_that_was_closed_a_moment_ago_is_free() -> None:
    """A stack can start right after the last one stopped."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    check_free([Child(name="redis", argv=("x",), ports=(port,))])


def test_a_free_base_leaves_room_for_every_part() -> None:
    """A base is free only when all ports on it are."""
    base = free_base(random.Random(7))
    check_free([Child(name=name, argv=("x",), ports=(base + at,)) for name, at in PORT_OFFSETS.items()])


def test_a_reused_pid_is_not_ours() -> None:
    """Without the start time a supervisor would kill strangers after a reboot."""
    created = psutil.Process().create_time()
    ours = Record(
        name="redis",
        state="up",
        detail="",
        pid=os.getpid(),
        created=created,
        port=1,
        up_since=created,
        restarts=0,
        stop_signal=15,
        log="",
    )
    assert is_alive(ours)
    assert not is_alive(msgspec.structs.replace(ours, created=created - 60))
    assert not is_alive(msgspec.structs.replace(ours, pid=None))


def test_the_number_of_brokers_is_fixed_for_the_life_of_a_folder(tmp_path: Path) -> None:
    """Replicas do not move by themselves when brokers come or go."""
    assert broker_count(tmp_path, None) == 1
    assert broker_count(tmp_path, 3) == 3
    for broker in range(3):
        (tmp_path / f"kafka-{broker}").mkdir()
    assert broker_count(tmp_path, None) == 3
    with pytest.raises(BrokerCountError):
        broker_count(tmp_path, 1)


def test_every_raw_topic_has_a_place_for_its_dead_letters() -> None:
    """A prefix moves all of them together."""
    names = topic_names("a.")
    raw = [name for name in names if not name.endswith("-dlq") and name != "a.live-events"]
    assert raw
    assert all(f"{name}-dlq" in names for name in raw)


def test_a_child_without_ports_has_no_port() -> None:
    """Lanes listen nowhere."""
    child = Child(name="enrich-0", argv=("x",))
    assert child.port is None
    assert replace(child, ports=(1, 2)).port == 1
