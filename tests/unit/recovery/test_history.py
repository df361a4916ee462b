"""What an audit remembers of the one before must still be in the log, or a new generation say why not."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from recovery.audit.findings import Findings
from recovery.audit.history import History, Mark
from settings import Settings
from storage.audit_reads import ShardRow

NOW = datetime(2026, 5, 30, 20, tzinfo=UTC)
BEFORE = bytes(16)
CHAINS = {position: bytes([position]) * 16 for position in range(1, 50)}
SEEN = ShardRow(3, 7, 0, BEFORE, 20, CHAINS[20])


def an_audit(folder: Path, *shards: ShardRow, chains: dict[int, bytes] | None = None) -> History:
    """One audit, which finds these shards."""
    history, findings = History(Settings(data=folder)), Findings(9)
    there = {shard.shard: shard for shard in shards}
    known = CHAINS if chains is None else chains
    history.compare(there, lambda _, position: known.get(position), findings)
    history.remember(there, NOW)
    history.note.remark = history.note.remark or ", ".join(findings.counts)
    return history


def test_the_first_audit_has_nothing_to_compare_with_and_says_so(tmp_path: Path) -> None:
    note = an_audit(tmp_path / "new", SEEN).note
    assert (note.audited_at, note.compared, note.is_remembered) == (None, 0, True)
    assert "no audit before" in note.remark
    after = an_audit(tmp_path / "new", SEEN).note
    assert (after.shards, after.compared, after.remark) == ({3: Mark(7, 20, CHAINS[20].hex())}, 1, "")


@pytest.mark.parametrize(
    "now",
    [
        SEEN._replace(head=25, chain=CHAINS[25]),
        SEEN._replace(head=25, base_position=20, base_chain=CHAINS[20]),
        SEEN._replace(head=25, base_position=21, base_chain=CHAINS[21]),
    ],
    ids=["grown", "begins_there", "begins_behind"],
)
def test_a_log_that_went_on_is_no_difference(tmp_path: Path, now: ShardRow) -> None:
    an_audit(tmp_path, SEEN)
    assert an_audit(tmp_path, now).note.remark == ""


@pytest.mark.parametrize(
    "now",
    [
        SEEN._replace(head=19),
        SEEN._replace(generation=6),
        SEEN._replace(generation=0, head=0),
        SEEN._replace(head=25, base_position=20, base_chain=CHAINS[9]),
        None,
    ],
    ids=["fell", "earlier_generation", "never_written", "other_base", "gone"],
)
def test_what_was_seen_and_is_gone_is_told_by_each_audit_until_the_generation_rises(
    tmp_path: Path, now: ShardRow | None
) -> None:
    """Told once and forgotten, it would be missed by whoever looks at the next receipt."""
    there = [now] if now else []
    an_audit(tmp_path, SEEN)
    for _ in range(2):
        assert an_audit(tmp_path, *there).note.remark == "history"
    risen = an_audit(tmp_path, SEEN._replace(generation=8, head=5)).note
    assert (risen.remark, len(risen.risen)) == ("", 1)
    assert an_audit(tmp_path, SEEN._replace(generation=8, head=6)).note.risen == []


def test_another_chain_at_the_same_place_is_another_history(tmp_path: Path) -> None:
    an_audit(tmp_path, SEEN)
    assert an_audit(tmp_path, SEEN, chains={20: CHAINS[9]}).note.remark == "history"
    assert an_audit(tmp_path, SEEN._replace(head=30), chains={}).note.remark == "history"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"\xff",
        b"x" * 2_000_000,
        msgspec.json.encode({"format": 2, "audited_at": NOW, "shards": {}}),
        msgspec.json.encode({"format": 1, "audited_at": NOW, "shards": {"0": [1, -1, ""]}}),
        b'{"format": 1, "audited_at": "2026-05-30T20:00:00Z", "shards": {"0": '
        b'{"generation": 1, "head": 1e99, "chain": "00"}}}',
    ],
)
def test_a_memory_that_cannot_be_read_is_said_and_made_anew(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "audit.json").write_bytes(data)
    assert "cannot be read" in an_audit(tmp_path, SEEN).note.remark
    assert an_audit(tmp_path, SEEN).note.compared == 1


def test_an_audit_that_cannot_remember_says_so_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    note = an_audit(tmp_path / "file", SEEN).note
    assert not note.is_remembered
    assert note.remark


def test_a_shard_that_never_had_a_writer_is_not_remembered(tmp_path: Path) -> None:
    an_audit(tmp_path, SEEN._replace(generation=0, head=0))
    assert an_audit(tmp_path, SEEN).note.shards == {}
