"""What commands of `python -m recovery` say when they cannot do what was asked: one form for all."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from recovery.__main__ import app

Type = Callable[..., tuple[int, str, str]]
NOWHERE = "127.0.0.1:9"


@pytest.fixture
def type_in(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Type:
    """Run a command on an empty installation whose servers are down."""
    monkeypatch.setenv("TOUCHLINE_DATA", str(tmp_path))
    monkeypatch.setenv("TOUCHLINE_BACKUP", str(tmp_path / "backups"))
    monkeypatch.setenv("TOUCHLINE_POSTGRES", f"postgresql://touchline@{NOWHERE}/touchline")
    monkeypatch.setenv("TOUCHLINE_KAFKA", NOWHERE)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = app(list(arguments), result_action="return_value")
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


BEYOND = str(10**20)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("deadletters", "list", "--since", "1000000d"), "--since 1000000d"),
        (("deadletters", "list", "--until", "1000000000d"), "--until 1000000000d"),
        (("deadletters", "list", "--newest", "-1"), "--newest -1"),
        (("deadletters", "list", "--newest", BEYOND), f"--newest {BEYOND}"),
        (("deadletters", "list", "--reason", "boredom"), "--reason boredom"),
        (("deadletters", "show", BEYOND), f"letter {BEYOND}"),
        (("deadletters", "edit", BEYOND), f"letter {BEYOND}"),
        (("deadletters", "discard", BEYOND, "--because", "a test"), f"letter {BEYOND}"),
        (("deadletters", "park", "m", "--within", "1000000000d"), "--within 1000000000d"),
        (("restore", "--as-of", "1000000d"), "--as-of 1000000d"),
        (("audit", "--settle", "1000000000d"), "--settle 1000000000d"),
        (("audit", "--first", "-1"), "--first -1"),
    ],
)
def test_what_nobody_can_mean_is_named_with_its_reason(
    type_in: Type, arguments: tuple[str, ...], named: str
) -> None:
    """In one line, before any server is asked, and the same for a program."""
    status, out, err = type_in(*arguments, "--json")
    assert status == 2
    assert named in err.replace("\n", " ")
    refusal = json.loads(out)
    assert refusal.keys() == {"error", "reason", "remedy"}
    assert named in refusal["reason"]
    assert len(refusal["reason"]) > len(named) + 10
    assert "\n" not in refusal["reason"]


def test_a_database_that_is_down_is_not_taken_for_the_place_of_backups(type_in: Type) -> None:
    status, out, err = type_in("restore", "--match", "m", "--at", "05:00", "--json")
    refusal = json.loads(out)
    assert (status, refusal["error"]) == (2, "OperationalError")
    assert "PostgreSQL cannot be reached" in refusal["reason"]
    assert "TOUCHLINE_POSTGRES" in refusal["remedy"]
    assert "AWS" not in err
    assert "TOUCHLINE_BACKUP" not in err
