"""The ledger over crashes and restarts."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from local.simulator.ledger import Ledger, LedgerMismatchError, read_start
from local.simulator.ledger_entries import Conflict, Final, Malformed, Record, Refused
from local.simulator.match_day import Programme
from schemas.live import Score

START = Programme(seed=5).start(datetime(2026, 1, 2, tzinfo=UTC))
RECORD = Record("m", "broadcast", "goal-1", 1)


def lines(path: Path) -> list[dict[str, object]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def test_a_ledger_begins_with_what_its_run_is_made_from(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ledger.jsonl"
    Ledger(path, START)
    assert lines(path)[0]["kind"] == "start"
    assert read_start(path) == START


def test_an_entry_is_written_once_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger(path, START).take([RECORD, RECORD])
    again = Ledger(path, START)
    assert again.knows(RECORD)
    again.take([RECORD, Conflict("m", "broadcast", "goal-1", 1)])
    assert [line["kind"] for line in lines(path)] == ["start", "record", "conflict"]


def test_a_torn_last_line_is_dropped_and_written_again(tmp_path: Path) -> None:
    """A kill in the middle of a write leaves half a line, never a wrong one."""
    path = tmp_path / "ledger.jsonl"
    Ledger(path, START).take([RECORD])
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[1][:20])
    again = Ledger(path, START)
    again.take([Record("m", "social", "post-1", 0)])
    assert [line["kind"] for line in lines(path)] == ["start", "record", "record"]


def test_a_ledger_torn_in_its_first_line_starts_over(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'{"kind":"sta')
    assert read_start(path) is None
    Ledger(path, START)
    assert read_start(path) == START


def test_a_ledger_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger(path, START)
    with pytest.raises(LedgerMismatchError, match="another run"):
        Ledger(path, Programme(seed=6).start(START.begins_at))


def test_what_a_push_was_told_is_no_part_of_what_was_refused(tmp_path: Path) -> None:
    """A restart pushes again and is told again, perhaps in other words."""
    path = tmp_path / "ledger.jsonl"
    Ledger(path, START).take([Refused("sensors", "no match", b"{}")])
    again = Ledger(path, START)
    again.take([Refused("sensors", "match is missing", b"{}"), Refused("sensors", "x", b"[]")])
    assert [line.get("reason") for line in lines(path)[1:]] == ["no match", "x"]


def test_originals_are_kept_as_base64(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger(path, START).take([Malformed("social", b"\xff\0")])
    assert lines(path)[1] == {"kind": "malformed", "source": "social", "original_b64": "/wA="}


def test_the_end_counts_what_stands_above(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path, START)
    ledger.take([RECORD, Malformed("social", b"x")])
    again = Ledger(path, START)
    again.take([Record("m", "broadcast", "goal-2", 1)])
    again.close_day([Final("m", Score(1, 0), ("goal-1",))])
    assert again.days == 1
    assert not again.is_complete
    again.close()
    assert Ledger(path, START).is_complete
    assert lines(path)[-1] == {
        "kind": "end",
        "records": 2,
        "conflicts": 0,
        "malformed": 1,
        "refused": 0,
        "matches": 1,
    }
