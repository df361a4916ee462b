"""How a moment is written on a command line: the same for all commands."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from recovery.moments import UnreadableMomentError, read_moment
from settings import ROOT

NOW = datetime(2026, 5, 30, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("text", ["10m", "2026-05-30T13:50:00+02:00", "2026-05-30 11:50Z", " 600s "])
def test_a_moment_is_so_long_ago_or_a_time_with_its_zone(text: str) -> None:
    assert read_moment("--as-of", text, NOW) == NOW - timedelta(minutes=10)


@pytest.mark.parametrize(
    ("text", "said"), [("yesterday", "10m"), ("2026-05-30 12:00", "whose time"), ("1000000d", "no calendar")]
)
def test_what_could_mean_several_moments_is_refused(text: str, said: str) -> None:
    with pytest.raises(UnreadableMomentError, match=said) as refused:
        read_moment("--as-of", text, NOW)
    assert refused.value.option == "--as-of"


@pytest.mark.parametrize("command", [("restore",), ("match",), ("postgres", "restore")])
def test_each_command_that_reads_a_moment_says_both_forms(command: tuple[str, ...]) -> None:
    argv = [sys.executable, "-m", "recovery", *command, "--help"]
    shown = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "10m" in shown
    assert "2026-05-30T21:04:05Z" in shown
