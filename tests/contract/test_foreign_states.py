"""A state that no lane wrote, in a store that a lane starts on: nothing runs it, and the lane starts.

Runs a real dataflow in child processes.
"""

import base64
import json
import os
import pickle
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from recovery.stores.asides import KEPT
from settings import ROOT
from storage.recovery_store import read_store
from storage.store_contents import read_contents
from tests.fixtures.recovery_stores import CALLS, SHARD, MakeStore, fill, partition, put_bytes, put_state

WRONG_SHAPES = [
    CALLS,
    pickle.dumps((1, "ring")),
    pickle.dumps((1, [(1, b"not eight")])),
    pickle.dumps({"a": {1, 2}}),
    b"",
]


def touching(path: Path) -> bytes:
    """A pickle that makes a file when it is read."""
    return f"cos\nsystem\n(S'touch {path}'\ntR.".encode()


def started(store: Path) -> "subprocess.CompletedProcess[str]":
    """Run the flow on a store, to its end."""
    flow = ["-m", "bytewax.run", "tests.contract.ring_flow", "-r", str(store), "-s", "0", "-b", "0"]
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        [sys.executable, *flow], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def prepared(store: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "recovery", "prepare", str(store), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def asides(store: Path) -> list[Path]:
    return sorted(store.parent.glob(f"{store.name}.foreign-*"))


def rows(store: Path) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(partition(store))) as connection:
        return list(connection.execute("SELECT step_id, snap_epoch FROM snaps ORDER BY step_id, snap_epoch"))


@pytest.fixture
def store(make_store: MakeStore, tmp_path: Path) -> Path:
    """Resumes at 4; of each step three snapshots."""
    made = make_store(tmp_path / "enrich-0")
    fill(made)
    return made


def spoil(store: Path, data: bytes, step: str = "enrich.dedupe", epoch: int = 3) -> None:
    with closing(sqlite3.connect(partition(store))) as connection, connection:
        connection.execute(
            "UPDATE snaps SET ser_change = ? WHERE step_id = ? AND snap_epoch = ?", (data, step, epoch)
        )


def test_bytewax_runs_what_it_finds_in_a_store(store: Path, tmp_path: Path) -> None:
    """Why every state is read before: this fails once Bytewax reads states as plain values only."""
    spoil(store, touching(tmp_path / "ran"))
    started(store)
    assert (tmp_path / "ran").exists()


def test_a_state_that_would_run_something_is_put_aside_before_the_flow_starts(
    store: Path, tmp_path: Path
) -> None:
    hostile = touching(tmp_path / "ran")
    spoil(store, hostile)
    would = prepared(store, "--dry-run", "--json")
    assert "StateForeignError" in would.stderr
    assert json.loads(would.stdout)["foreign_states"]
    assert not asides(store)
    done = prepared(store, "--json")
    assert done.returncode == 0
    assert f"state '{SHARD}' of enrich.dedupe" in done.stderr
    assert started(store).returncode == 0
    assert not (tmp_path / "ran").exists()
    [aside] = asides(store)
    kept = json.loads(aside.read_text())
    [state] = kept["states"]
    assert (state["step"], state["key"], state["flow_epoch"]) == ("enrich.dedupe", SHARD, 3)
    assert state["reason"]
    assert base64.b64decode(state["pickle"]) == hostile
    assert kept["why"]


def test_only_the_key_of_a_foreign_state_goes(store: Path) -> None:
    """With its older snapshots: the others are of the moment at which the store resumes."""
    spoil(store, CALLS)
    assert prepared(store).returncode == 0
    assert rows(store) == [(step, epoch) for step in ("enrich.append", "enrich.read") for epoch in (1, 2, 3)]
    contents = read_contents(store, read_store(store, check=True))
    assert contents.places[SHARD].position == 30
    assert prepared(store).stderr == ""


@pytest.mark.parametrize("step", ["enrich.read", "enrich.dedupe", "enrich.append"])
@pytest.mark.parametrize("data", WRONG_SHAPES, ids=["calls", "text", "odd_bytes", "set", "nothing"])
def test_a_state_of_another_shape_goes_whatever_its_step_is(store: Path, step: str, data: bytes) -> None:
    """The log says where reading and the log were, so a lane does without each of them."""
    spoil(store, data, step)
    said = prepared(store, "--keys", SHARD)
    assert said.returncode == 0
    assert f"of {step}" in said.stderr
    assert {name for name, _ in rows(store)} == {"enrich.read", "enrich.dedupe", "enrich.append"} - {step}


def test_a_key_that_is_no_shard_goes_alone(store: Path) -> None:
    """It is printed by what asks for it, and read as a number."""
    with closing(sqlite3.connect(partition(store))) as connection, connection:
        connection.execute(
            "UPDATE snaps SET state_key = ? WHERE step_id = 'enrich.append'", ("\x1b[31m" + "9" * 5000,)
        )
    said = prepared(store, "--keys", SHARD)
    assert said.returncode == 0
    assert "its key is no shard" in said.stderr
    assert "\x1b" not in said.stderr
    assert {name for name, _ in rows(store)} == {"enrich.read", "enrich.dedupe"}


def test_a_flow_that_no_state_of_its_shape_is_left_for_starts(store: Path) -> None:
    """A ring of another shape would end each start of its lane."""
    spoil(store, pickle.dumps((1, "ring")))
    assert started(store).returncode != 0
    assert prepared(store).returncode == 0
    assert started(store).returncode == 0


def test_a_foreign_state_of_a_step_that_no_lane_has_puts_the_whole_store_aside(store: Path) -> None:
    """Without a lane that asks, nobody says that it can do without: then it is refused."""
    put_bytes(partition(store), "tally.sum", 3, CALLS)
    refused = prepared(store, "--json")
    assert (refused.returncode, json.loads(refused.stdout)["error"]) == (1, "StateForeignError")
    assert rows(store)
    done = prepared(store, "--keys", SHARD, "--json")
    assert done.returncode == 0
    assert Path(json.loads(done.stdout)["aside"]).is_dir()
    assert rows(store) == []


def test_a_state_that_says_its_key_is_gone_is_no_foreign_one(store: Path) -> None:
    put_bytes(partition(store), "enrich.gone", 3, None)
    put_state(partition(store), "tally.sum", 3, {"plain": [1, None]})
    assert prepared(store).stderr == ""
    assert ("enrich.gone", 3) in rows(store)


def test_a_foreign_state_of_an_epoch_that_never_closed_goes_with_its_epoch(store: Path) -> None:
    put_bytes(partition(store), "tally.sum", 4, CALLS)
    assert prepared(store).returncode == 0
    assert ("tally.sum", 4) not in rows(store)


def test_only_the_newest_files_of_foreign_states_stay(store: Path) -> None:
    """Who can write to a store at each start must not fill the disk."""
    for _ in range(KEPT + 2):
        put_bytes(partition(store), "enrich.dedupe", 3, CALLS) if asides(store) else spoil(store, CALLS)
        assert prepared(store).returncode == 0
    assert len(asides(store)) == KEPT


def test_a_trigger_in_a_store_is_refused_before_it_can_write(store: Path) -> None:
    """What prepare deletes would come back as something else."""
    put_bytes(partition(store), "enrich.dedupe", 4, None)
    with closing(sqlite3.connect(partition(store))) as connection, connection:
        connection.execute(
            "CREATE TRIGGER more AFTER DELETE ON snaps BEGIN INSERT INTO snaps"
            " (step_id, state_key, snap_epoch, ser_change) VALUES ('enrich.dedupe', '001', 1, x'00'); END"
        )
    before = rows(store)
    refused = prepared(store, "--json")
    assert (refused.returncode, json.loads(refused.stdout)["error"]) == (1, "StoreDamagedError")
    assert "trigger 'more'" in refused.stderr
    assert rows(store) == before
