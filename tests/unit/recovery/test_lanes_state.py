"""What does not fit together among lanes is said, and what does not matter is not."""

import fcntl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from recovery.lanes.holders import holder_of
from recovery.lanes.state import Lanes, look_at_lanes, shards_of
from settings import Settings, load
from storage.lane_reads import Session

NOW = datetime(2024, 3, 16, 20, 0, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(load({}), data=tmp_path)


def look(settings: Settings, stores: Sequence[str], connected: Sequence[str] = ()) -> Lanes:
    for name in stores:
        (settings.data / "recovery" / name).mkdir(parents=True)
    return look_at_lanes(settings, [], [Session(lane, "10.0.0.1", NOW) for lane in connected])


def test_each_shard_has_one_lane() -> None:
    for lanes in range(1, 9):
        dealt = [shard for lane in range(lanes) for shard in shards_of(lane, lanes, 8)]
        assert sorted(dealt) == list(range(8))


def test_installation_without_stores_has_nothing_to_find(settings: Settings) -> None:
    found = look(settings, [])
    assert (found.lanes, found.findings) == ([], [])


def test_stores_put_aside_are_no_lanes(settings: Settings) -> None:
    found = look(settings, ["enrich-0.before-20240316T200000", "translate-0"])
    assert found.lanes == []


def test_missing_store_below_another_is_found(settings: Settings) -> None:
    found = look(settings, ["enrich-1"])
    assert [lane.state for lane in found.lanes] == ["no store", "stopped"]
    assert any("lane 0/2 has no store" in finding for finding in found.findings)


def test_lanes_of_two_deals_at_once_are_found(settings: Settings) -> None:
    found = look(settings, [], ["0/1", "1/2"])
    assert found.findings == ["lanes run as parts of 1 and of 2: they take shards from each other"]


def test_two_of_the_same_lane_are_found(settings: Settings) -> None:
    (finding,) = look(settings, [], ["0/2", "0/2", "1/2"]).findings
    assert finding.startswith("lane 0/2 is connected 2 times")


def test_stores_of_another_deal_than_the_running_one_are_found(settings: Settings) -> None:
    found = look(settings, ["enrich-0", "enrich-1"], ["0/1"])
    assert any("`recovery lanes deal 1`" in finding for finding in found.findings)


def test_holder_of_a_store_is_known_without_taking_the_lock(tmp_path: Path) -> None:
    store = tmp_path / "enrich-0"
    assert holder_of(store) is None
    with (tmp_path / "enrich-0.lock").open("w") as lock:
        assert holder_of(store) is None
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert holder_of(store) is not None
    assert holder_of(store) is None
