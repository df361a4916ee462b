"""What the drill makes of the recovery stores' backup: there, none, or one that cannot be used."""

import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from recovery.backup.manifest import MANIFEST
from recovery.drill.beside import Beside, BesideFailedError
from recovery.drill.receipt import RTO_PROMISED_SECONDS, judge
from recovery.drill.stores import read_answer, restore_stores
from settings import load

pytestmark = pytest.mark.integration

NOW = datetime(2026, 3, 16, 21, tzinfo=UTC)
NAME = "20260316T200000Z-abcdef"
LATE = RTO_PROMISED_SECONDS + 1.0


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def beside(tmp_path: Path, backups: Path) -> Beside:
    """A stack beside of which no server runs: backups are chosen without any."""
    return Beside(replace(load({"TOUCHLINE_DATA": str(tmp_path / "data")}), backup=str(backups)))


def test_a_damaged_manifest_fails_the_drill_by_name(beside: Beside, backups: Path) -> None:
    """It is no missing backup: whoever needs it would learn so on the worst night."""
    (backups / "stores" / NAME).mkdir(parents=True)
    (backups / "stores" / NAME / MANIFEST).write_bytes(b'{"name": "20260316T2000')
    stores = restore_stores(beside, NOW)
    assert stores.source == "none could be restored: ManifestError"
    [reason] = judge([], 0.0, 0.0, "clean", stores.fault)
    assert "ManifestError" in reason
    assert NAME in reason
    assert len(judge([], 0.0, LATE, "clean", stores.fault)) == 2


def test_without_a_backup_lanes_read_on_where_the_log_says(beside: Beside) -> None:
    stores = restore_stores(beside, NOW)
    assert stores.source.startswith("none; ")
    assert judge([], 0.0, 0.0, "clean", stores.fault) == []


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})", "SIGKILL"),
        ("raise KeyError", "ended with 1"),
        ("""print('{"error": "PlaceError", "reason": "away", "remedy": ""}'); exit(2)""", "PlaceError: away"),
    ],
    ids=["killed", "crashed", "place_away"],
)
def test_a_restore_that_ends_otherwise_is_no_missing_backup(beside: Beside, program: str, said: str) -> None:
    ran = beside.run("restore", ["-c", program])
    with pytest.raises(BesideFailedError, match=said):
        read_answer(ran, beside.logs / "restore.log")
