"""Names and places of the write-ahead log, holes in an archive, and how lag is dated."""

from datetime import UTC, datetime

import pytest

from recovery.postgres.archive_status import Lag
from recovery.postgres.backup_record import BackupRecord
from recovery.postgres.lsn import PARTIAL, format_lsn, parse_lsn, parse_segment, segment_name
from recovery.postgres.place import Kept
from recovery.postgres.target import parse_target
from recovery.postgres.wal_archive import WalFile, first_hole

MB = 1024 * 1024
AT = datetime(2026, 3, 16, 20, tzinfo=UTC)


def _record(end_lsn: str) -> BackupRecord:
    return BackupRecord(
        name="b",
        started_at=AT,
        finished_at=AT,
        system_id=1,
        timeline=1,
        start_lsn="0/3000028",
        end_lsn=end_lsn,
        segment_bytes=16 * MB,
        server_version="18",
        shards=[],
        files=[],
    )


def _files(*numbers: int, partial: tuple[int, ...] = ()) -> list[WalFile]:
    names = [segment_name(1, n, 16 * MB) + (PARTIAL if n in partial else "") for n in numbers]
    segments = [parse_segment(name, 16 * MB) for name in names]
    return [
        WalFile(Kept(name, 16 * MB, AT), segment)
        for name, segment in zip(names, segments, strict=True)
        if segment
    ]


@pytest.mark.parametrize("lsn", ["0/0", "0/3000028", "1A/2B3C4D5E", "FFFFFFFF/FFFFFFFF"])
def test_a_place_is_written_as_it_was_read(lsn: str) -> None:
    assert format_lsn(parse_lsn(lsn)) == lsn


def test_a_segment_is_counted_across_the_high_part_of_its_name() -> None:
    name = segment_name(3, 0x1_00, 16 * MB)
    assert name == "000000030000000100000000"
    assert parse_segment(name + ".partial", 16 * MB) == (3, 0x1_00, True)
    assert parse_segment("00000002.history", 16 * MB) is None


def test_a_log_without_holes_behind_the_backup_is_whole() -> None:
    """What lies before the backup's end came with the backup."""
    assert first_hole(_files(), _record("0/3000120")) is None
    assert first_hole(_files(3, 4, 5), _record("0/3000120")) is None
    assert first_hole(_files(3, 4, 5, partial=(5,)), _record("0/3000120")) is None
    assert first_hole(_files(4, 5), _record("0/4000000")) is None


@pytest.mark.parametrize(
    ("there", "missing", "until"),
    [((4, 5), 3, "0/3000120"), ((3, 5), 4, "0/4000000"), ((3, 4, 6), 5, "0/5000000")],
)
def test_the_first_hole_is_named_with_the_last_place_before_it(
    there: tuple[int, ...], missing: int, until: str
) -> None:
    hole = first_hole(_files(*there), _record("0/3000120"))
    assert hole == (segment_name(1, missing, 16 * MB), until, False)


def test_a_segment_that_a_receiver_left_unfinished_is_a_hole() -> None:
    """One that grew whole while the files were listed is none."""
    hole = first_hole(_files(3, 4, 5, partial=(4,)), _record("0/3000120"))
    assert hole == (segment_name(1, 4, 16 * MB), "0/5000000", True)
    assert first_hole(_files(3, 4, 6, partial=(4,)), _record("0/3000120")) == hole
    assert first_hole(_files(3, 4, 5, partial=(4, 5)), _record("0/3000120")) is None


def test_lag_is_as_old_as_the_first_byte_that_is_missing() -> None:
    lag = Lag()
    assert lag.look(10.0, 100, 100) == (0, 0.0)
    assert lag.look(11.0, 150, 100) == (50, 0.0)
    assert lag.look(13.0, 200, 100) == (100, 2.0)
    assert lag.look(14.0, 220, 150) == (70, 1.0)
    assert lag.look(15.0, 220, 220) == (0, 0.0)


@pytest.mark.parametrize(
    ("time", "lsn", "said"),
    [
        ("2026-03-16T20:15:30", None, "whose time"),
        ("yesterday", None, "no moment"),
        (None, "12", "no place"),
        ("latest", "0/1", "exclude"),
    ],
)
def test_a_target_that_says_nothing_clear_is_refused(time: str | None, lsn: str | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_target(time, lsn, datetime(2026, 5, 30, tzinfo=UTC))
