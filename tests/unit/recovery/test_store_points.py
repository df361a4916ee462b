"""Which flow epochs a recovery store can resume at, and what a copy at one of them holds."""

from pathlib import Path

import pytest

from storage.recovery_store import read_store
from storage.store_contents import read_contents
from storage.store_copy import copy_at, copy_whole, take_back
from storage.store_errors import PointGoneError, StoreChangedError
from tests.fixtures.recovery_stores import SHARD, MakeStore, fill, partition, put_bytes, put_state, run_sql


@pytest.fixture
def store(make_store: MakeStore, tmp_path: Path) -> Path:
    """Resumes at 9, has collected 4."""
    made = make_store(tmp_path / "store")
    fill(made, range(4, 9), collected=4)
    return made


def test_points_begin_one_after_the_collected_epoch(store: Path) -> None:
    """At the collected epoch itself Bytewax has deleted the snapshots that a resume would load."""
    found = read_store(store)
    assert (found.oldest_epoch, found.resume_epoch) == (5, 9)


@pytest.mark.parametrize("epoch", [5, 7, 9])
def test_a_store_taken_back_is_as_it_was_then(store: Path, tmp_path: Path, epoch: int) -> None:
    copy = tmp_path / "copy"
    take_back(copy_whole(read_store(store), store, copy), epoch)
    found = read_store(copy)
    assert found.resume_epoch == epoch
    contents = read_contents(copy, found)
    assert contents.offsets == {SHARD: {"broadcast-events": (epoch - 1) * 10}}
    assert contents.places[SHARD].position == (epoch - 1) * 10
    assert contents.unclosed_rows == 0


@pytest.mark.parametrize("epoch", [0, 4, 10])
def test_a_point_that_is_gone_is_refused(store: Path, epoch: int) -> None:
    before = read_contents(store, read_store(store))
    with pytest.raises(PointGoneError) as raised:
        take_back(read_store(store), epoch)
    assert (raised.value.oldest, raised.value.newest) == (5, 9)
    assert read_contents(store, read_store(store)) == before


def test_a_store_goes_back_behind_the_start_of_its_execution(store: Path) -> None:
    """Its resume epoch counts too, and would hold the store at its start."""
    fill(store, range(9, 12), collected=4, execution=1)
    assert read_store(store).resume_epoch == 12
    take_back(read_store(store), 6)
    assert read_store(store).resume_epoch == 6


def test_a_copy_holds_its_point_and_nothing_else(store: Path, tmp_path: Path) -> None:
    put_state(partition(store), "enrich.read", 9, {"broadcast-events": 999})  # of an unclosed epoch
    put_bytes(partition(store), "enrich.gone", 5, None)
    cut = read_store(store)
    copied = copy_at(cut, store, tmp_path / "copy")
    contents = read_contents(tmp_path / "copy", copied)
    assert (copied.resume_epoch, copied.oldest_epoch) == (9, 9)
    assert contents.offsets == {SHARD: {"broadcast-events": 80}}
    assert {step.step: (step.rows, step.keys, step.tombstones) for step in contents.steps} == {
        "enrich.append": (1, 1, 0),
        "enrich.dedupe": (1, 1, 0),
        "enrich.gone": (1, 0, 1),
        "enrich.read": (1, 1, 0),
    }


def test_a_lane_that_went_on_does_not_move_the_cut(store: Path, tmp_path: Path) -> None:
    cut = read_store(store)
    put_state(partition(store), "enrich.read", 9, {"broadcast-events": 90})
    run_sql(partition(store), "UPDATE fronts SET worker_frontier = 10")
    copied = copy_at(cut, store, tmp_path / "copy")
    assert copied.resume_epoch == 9
    assert read_contents(tmp_path / "copy", copied).offsets == {SHARD: {"broadcast-events": 80}}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE commits SET commit_epoch = 9",
        "INSERT INTO exs (ex_num, worker_count, resume_epoch) VALUES (1, 1, 9)",
    ],
)
def test_a_lane_that_outran_the_copy_is_said(store: Path, tmp_path: Path, change: str) -> None:
    cut = read_store(store)
    run_sql(partition(store), "UPDATE fronts SET worker_frontier = 12")
    run_sql(partition(store), change)
    with pytest.raises(StoreChangedError):
        copy_at(cut, store, tmp_path / "copy")
