"""What Bytewax's recovery store does, and what `prepare` makes of it.

Runs real dataflows in child processes and kills them.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from recovery.prepare import PrepareError, Preparer, StoreInUseError, prepare_in_child
from settings import ROOT
from storage.recovery_store import read_store
from tests.fixtures.recovery_stores import MakeStore, partition
from tests.fixtures.waiting import eventually

PARTITIONS = 2  # one with each worker, so that one writes while the other is held
KEYS = 16


class Run:
    """One flow's folder, and the runs of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        folder.mkdir()

    def put(self, name: str, text: str = "") -> None:
        (self.folder / name).write_text(text)

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    @contextmanager
    def started(self) -> Iterator["subprocess.Popen[bytes]"]:
        flow = ["-m", "bytewax.run", "tests.contract.unclosed_epoch_flow", "-w", "2"]
        # A flow epoch per activation, and closed ones are never collected.
        recovery = ["-r", str(self.store), "-s", "0", "-b", "3600"]
        environment = {"PATH": os.environ["PATH"], "FLOW_FOLDER": str(self.folder)}
        with (self.folder / "output").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, *flow, *recovery], cwd=ROOT, env=environment, stdout=output, stderr=output
            )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def resume_epoch(self) -> int:
        return read_store(self.store).resume_epoch

    def kept(self) -> set[str]:
        """What the last run collected in the end, over all keys."""
        last = dict(line.split(" ", 1) for line in (self.folder / "kept").read_text().splitlines())
        assert len(last) == KEYS
        return {items.replace("held", "next") for items in last.values()}


def crash_while_an_epoch_is_open(run: Run) -> None:
    """Kill it when one worker has written its snapshots of an epoch and the other has not."""
    run.put("items", "first next")
    run.put("hold")
    with run.started():
        eventually(lambda: run.has("holding"))
        resumes_at = run.resume_epoch()
        eventually(lambda: read_store(run.store).rows_from(resumes_at) > 0)
    assert run.resume_epoch() == resumes_at
    (run.folder / "hold").unlink()


def crash_when_later_epochs_are_closed(run: Run) -> None:
    """Run on with nothing to read until the epoch that was open is long past, and kill it again."""
    run.put("items", "first")
    long_past = run.resume_epoch() + 5
    with run.started():
        eventually(lambda: run.resume_epoch() > long_past)


def run_to_the_end(run: Run) -> set[str]:
    run.put("items", "first next last")
    run.put("ends")
    run.put("kept")
    with run.started() as process:
        assert process.wait(timeout=30) == 0
    return run.kept()


def prepare(run: Run) -> None:
    prepare_in_child(run.store, PARTITIONS).release()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run(tmp_path / "flow")
    prepare(made)
    return made


def test_second_crash_without_prepare_loads_an_epoch_that_never_closed(run: Run) -> None:
    """Bytewax's bug, and why `prepare` exists: this fails once Bytewax is right."""
    crash_while_an_epoch_is_open(run)
    crash_when_later_epochs_are_closed(run)
    assert "first next next last" in run_to_the_end(run)


def test_prepare_before_each_start_makes_every_item_count_once(run: Run) -> None:
    crash_while_an_epoch_is_open(run)
    prepare(run)
    crash_when_later_epochs_are_closed(run)
    prepare(run)
    assert run_to_the_end(run) == {"first next last"}


def test_store_is_created_once_and_kept(run: Run) -> None:
    made = sorted(run.store.glob("*.sqlite3"))
    assert len(made) == PARTITIONS
    inodes = [file.stat().st_ino for file in made]
    prepare(run)
    assert [file.stat().st_ino for file in sorted(run.store.glob("*.sqlite3"))] == inodes
    assert run.resume_epoch() == 1


def test_store_in_use_is_refused_and_free_after_the_process_that_held_it(run: Run) -> None:
    held = prepare_in_child(run.store, PARTITIONS)
    with pytest.raises(StoreInUseError, match="in use by another process"):
        prepare_in_child(run.store, PARTITIONS)
    held.release()
    prepare(run)


def test_incomplete_store_is_refused_by_name(run: Run) -> None:
    sorted(run.store.glob("*.sqlite3"))[0].unlink()
    with pytest.raises(PrepareError, match=r"partitions \[0\] are missing"):
        prepare(run)


def test_damaged_store_is_refused_by_name(run: Run) -> None:
    sorted(run.store.glob("*.sqlite3"))[0].write_bytes(b"no database" * 100)
    with pytest.raises(PrepareError, match="not a database"):
        prepare(run)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "letter.txt").write_text("keep me")
    with pytest.raises(PrepareError, match="mine"):
        prepare_in_child(folder)
    assert (folder / "letter.txt").read_text() == "keep me"


def test_a_folder_of_something_else_is_not_to_be_deleted(tmp_path: Path) -> None:
    """Neither said to people nor to a program, and each with the error's own name."""
    (tmp_path / "thesis.txt").write_text("years of work")
    refused = recovery_prepare(tmp_path, "--json")
    assert refused.returncode == 1
    said = json.loads(refused.stdout)
    assert said["error"] == "StoreForeignError"
    assert "belongs to something else" in said["remedy"]
    assert "delete" not in refused.stdout + refused.stderr


def test_a_place_that_cannot_be_written_is_no_refusal(tmp_path: Path) -> None:
    """Exit 2: nothing was learnt about a store."""
    (tmp_path / "file").write_text("in the way")
    failed = recovery_prepare(tmp_path / "file" / "store", "--json")
    assert failed.returncode == 2
    assert json.loads(failed.stdout)["error"]
    assert "Traceback" not in failed.stderr


def test_preparing_brings_no_second_sqlite_into_the_process_of_a_flow() -> None:
    """Closing a file through it would drop the locks that Bytewax holds."""
    asked = "import sys, recovery.prepare; print('sqlite3' in sys.modules or '_sqlite3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_dry_run_says_what_prepare_would_do_and_writes_nothing(run: Run) -> None:
    crash_while_an_epoch_is_open(run)
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    said = recovery_prepare(run.store, "--dry-run", "--json")
    assert json.loads(said.stdout)["unclosed_rows"] > 0
    new = recovery_prepare(run.folder / "none", "--dry-run")
    assert "would be created" in new.stdout
    assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before
    done = recovery_prepare(run.store, "--json")
    assert json.loads(done.stdout) == json.loads(said.stdout) | {"is_done": True}


def test_prepare_refuses_a_store_that_a_flow_has(run: Run) -> None:
    held = prepare_in_child(run.store, PARTITIONS)
    for option in ("--dry-run", "--json"):
        refused = recovery_prepare(run.store, option)
        assert refused.returncode == 1
        assert "in use by another process" in refused.stderr
        assert ("StoreInUseError" in refused.stdout) == (option == "--json")
    held.release()


def test_nobody_is_told_to_delete_what_is_no_store(tmp_path: Path) -> None:
    """The remedy is that of the error, also in what a lane says of the child."""
    folder = tmp_path / "mine"
    folder.mkdir()
    letter = folder / "letter.txt"
    letter.write_text("keep me")
    for path in (folder, letter):
        for option in ("--json", "--dry-run"):
            refused = recovery_prepare(path, option)
            assert refused.returncode == 1
            assert "StoreForeignError" in refused.stderr
            assert "belongs to something else" in refused.stderr
            assert "delete the" not in refused.stdout + refused.stderr
        with pytest.raises(PrepareError) as stopped:
            prepare_in_child(path)
        assert "belongs to something else" in stopped.value.reason
        assert "delete the" not in stopped.value.reason


def test_prepare_that_could_not_run_says_so_and_exits_2(tmp_path: Path, make_store: MakeStore) -> None:
    """For a program, too: a finding about the store is 1, and no finding is 2."""
    under_a_file = tmp_path / "file" / "store"
    under_a_file.parent.write_text("")
    full_disk = ("prlimit", "--fsize=0")
    unreadable = make_store(tmp_path / "unreadable")
    partition(unreadable).unlink()
    partition(unreadable).symlink_to("/proc/self/mem")  # a regular file, of which no byte can be read
    for path, prefix, options, error in (
        (under_a_file, (), (), "FileExistsError"),
        (tmp_path / "new", full_disk, (), "CalledProcessError"),
        (tmp_path / "new", (), ("--partitions", "0"), "ValueError"),
        (unreadable, (), (), "StoreUnreadableError"),
    ):
        said = recovery_prepare(path, "--json", *options, prefix=prefix)
        assert (said.returncode, json.loads(said.stdout)["error"]) == (2, error)
        assert "delete the" not in said.stderr
    assert not (tmp_path / "new").exists()
    damaged = make_store(tmp_path / "damaged")
    partition(damaged).write_bytes(b"no database")
    refused = recovery_prepare(damaged, "--json")
    assert (refused.returncode, json.loads(refused.stdout)["error"]) == (1, "StoreDamagedError")
    assert "restore" in json.loads(refused.stdout)["remedy"]


def test_a_preparer_that_is_never_told_leaves_the_store_alone(run: Run) -> None:
    crash_while_an_epoch_is_open(run)
    rows = read_store(run.store).rows_from(run.resume_epoch())
    assert recovery_prepare(run.store, "--when-told").returncode == 2
    with Preparer(run.store, PARTITIONS):
        pass  # its lane ended while it waited for its turn
    assert read_store(run.store).rows_from(run.resume_epoch()) == rows > 0


def recovery_prepare(
    store: Path, *options: str, prefix: Sequence[str] = ()
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*prefix, sys.executable, "-m", "recovery", "prepare", str(store), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
