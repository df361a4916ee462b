"""What the installed Bytewax does with its recovery store, as far as this design relies on it.

Each test fails once Bytewax does otherwise: then the design may change too.
"""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from settings import ROOT
from storage.plain_pickle import load_plain
from storage.recovery_store import read_store
from storage.store_contents import read_contents
from storage.store_copy import take_back
from storage.store_errors import PointGoneError, StoreMixedError
from tests.fixtures.recovery_stores import MakeStore, partition, run_sql
from tests.fixtures.waiting import eventually

LONG = timedelta(seconds=60)


class Flow:
    """The counting flow's folder, and runs of it."""

    def __init__(self, folder: Path, make_store: MakeStore) -> None:
        self.folder = folder
        self.store = make_store(folder / "store")
        self.put("step", "sum")
        self.put("until", "0")
        self.put("counted")

    def put(self, name: str, text: str = "") -> None:
        """Whole at once: the flow reads at any moment."""
        written = self.folder / f"{name}.written"
        written.write_text(text)
        written.rename(self.folder / name)

    def has(self, name: str) -> bool:
        return self.folder.joinpath(name).exists()

    @contextmanager
    def started(self, kept_seconds: int = 0) -> Iterator["subprocess.Popen[bytes]"]:
        # A flow epoch per activation.
        argv = ["tests.contract.counting_flow", "-r", str(self.store), "-s", "0", "-b", str(kept_seconds)]
        environment = {"PATH": os.environ["PATH"], "FLOW_FOLDER": str(self.folder)}
        with (self.folder / "output").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "bytewax.run", *argv],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=output,
            )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def to_the_end(self, until: int) -> int:
        """Run until the source has counted so far and ends; return the last sum."""
        self.put("until", str(until))
        self.put("ends")
        with self.started() as process:
            assert process.wait(timeout=30) == 0, (self.folder / "output").read_text()
        self.folder.joinpath("ends").unlink()
        return self.sums()[-1]

    def sums(self) -> list[int]:
        return [int(line.split()[1]) for line in (self.folder / "counted").read_text().splitlines()]

    def counted_by(self, process: "subprocess.Popen[bytes]") -> list[int]:
        lines = [line.split() for line in (self.folder / "counted").read_text().splitlines()]
        return [int(counted) for pid, counted in lines if int(pid) == process.pid]

    def resume_epoch(self) -> int:
        return read_store(self.store).resume_epoch

    def snapshot_of(self, step: str) -> object:
        """What a resume would load."""
        with closing(sqlite3.connect(f"file:{partition(self.store)}?mode=ro", uri=True)) as connection:
            row = connection.execute(
                "SELECT ser_change FROM snaps WHERE step_id IN (?, ?) AND snap_epoch < ?"
                " ORDER BY snap_epoch DESC",
                (f"counting.{step}", f"counting.{step}.stateful_batch", self.resume_epoch()),
            ).fetchone()
        return load_plain(row[0]) if row else None


@pytest.fixture
def flow(tmp_path: Path, make_store: MakeStore) -> Flow:
    return Flow(tmp_path, make_store)


def test_the_first_next_batch_after_a_snapshot_means_that_it_is_durable(flow: Flow) -> None:
    """A source may acknowledge then what its snapshot covers: a crash comes back behind it."""
    flow.put("until", "5")
    flow.put("hold")
    with flow.started():
        eventually(lambda: flow.has("held") and (flow.folder / "held").read_text() != "", LONG)
        held = int((flow.folder / "held").read_text())
        assert flow.snapshot_of("read") == held
        assert flow.snapshot_of("sum") == sum(range(held + 1))
    assert flow.snapshot_of("read") == held
    flow.folder.joinpath("hold").unlink()
    assert flow.to_the_end(10) == sum(range(11))


def test_a_renamed_step_loses_its_state_and_leaves_it_behind(flow: Flow) -> None:
    """Why step ids are pinned."""
    assert flow.to_the_end(4) == 10
    flow.put("step", "total")
    assert flow.to_the_end(6) == 5 + 6
    steps = {step.step for step in read_contents(flow.store, read_store(flow.store)).steps}
    assert {"counting.sum.stateful_batch", "counting.total.stateful_batch"} <= steps


def execution_of(flow: Flow) -> int | None:
    try:
        last = read_store(flow.store).last
    except StoreMixedError:
        return 1  # one collects what the other still needs: only two at once do that
    return last.number if last else None


def test_two_clusters_on_one_store_are_not_refused_and_count_twice(flow: Flow) -> None:
    """Why a store is locked: both run on, both read everything, and both write to the store."""
    with flow.started() as one:
        eventually(lambda: flow.resume_epoch() > 1, LONG)
        with flow.started() as other:
            eventually(lambda: execution_of(flow) == 1, LONG)
            flow.put("until", "3")
            eventually(lambda: flow.counted_by(one) == flow.counted_by(other) == [1, 3, 6], LONG)
            assert one.poll() is None
            assert other.poll() is None


def _open_from_outside(flow: Flow) -> None:
    """What another process may do at any time: open the store and close it again."""
    asked = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
        "c.execute('SELECT count(*) FROM snaps').fetchone(); c.close()"
    )
    subprocess.run([sys.executable, "-c", asked, str(partition(flow.store))], check=True)


def test_a_second_sqlite_in_the_process_takes_the_log_from_under_bytewax(flow: Flow) -> None:
    """POSIX locks belong to the process, so the second one takes itself for the last and deletes the log.

    From then on nothing that Bytewax writes can be read by anyone else, and a restart begins before it.
    """
    log = Path(f"{partition(flow.store)}-wal")
    with flow.started() as process:
        eventually(lambda: flow.resume_epoch() > 1, LONG)
        held = log.stat().st_ino
        _open_from_outside(flow)
        assert log.stat().st_ino == held  # another process sees the locks
        flow.put("second")
        eventually(lambda: not flow.has("second"), LONG)
        assert not log.exists() or log.stat().st_ino != held
        flow.put("until", "5")
        eventually(lambda: flow.sums()[-1:] == [15], LONG)
        flow.put("until", "6")
        eventually(lambda: flow.sums()[-1:] == [21], LONG)
        assert process.poll() is None  # and it does not notice
        assert flow.snapshot_of("sum") is None


def test_bytewax_accepts_the_collected_epoch_and_loses_state_there(flow: Flow) -> None:
    """Why `rewind` begins one later: there, what was snapshotted in that epoch itself is gone.

    The sum was last snapshotted long before and stays, the source in each epoch: it begins anew.
    """
    flow.put("until", "5")
    with flow.started():
        eventually(lambda: flow.snapshot_of("sum") == 15, LONG)
        counted_at = flow.resume_epoch()
        eventually(lambda: read_store(flow.store).collected > counted_at, LONG)
    store = read_store(flow.store)
    with pytest.raises(PointGoneError):
        take_back(store, store.collected)
    run_sql(partition(flow.store), "DELETE FROM snaps WHERE snap_epoch >= ?", store.collected)
    run_sql(partition(flow.store), "UPDATE fronts SET worker_frontier = ?", store.collected)
    assert flow.to_the_end(6) == 15 + sum(range(7))


def test_bytewax_resumes_at_the_oldest_point_that_rewind_offers(flow: Flow) -> None:
    flow.put("until", "5")
    with flow.started(kept_seconds=3600):
        eventually(lambda: flow.snapshot_of("sum") == 15, LONG)
    store = read_store(flow.store)
    assert store.oldest_epoch < store.resume_epoch
    take_back(store, store.oldest_epoch)
    assert flow.resume_epoch() == store.oldest_epoch
    assert flow.to_the_end(6) == 21
