"""What commands of `python -m recovery` say when they cannot do what was asked: one form for all."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recovery.__main__ import app
from recovery.backup.manifest import new_name
from tests.fixtures.recovery_stores import MakeStore, fill, partition

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
        (("backup", "run", "--every", "0s"), "--every 0s"),
        (("backup", "run", "--every", "1000000d"), "--every 1000000d"),
        (("backup", "run", "--younger-than", "old"), "--younger-than old"),
        (("backup", "prune", "--younger-than", "old"), "--younger-than old"),
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


DEAD_LETTERS = [
    ("deadletters", "list"),
    ("deadletters", "show", "1"),
    ("deadletters", "edit", "1", "--set", "a=b"),
    ("deadletters", "discard", "1", "--because", "a test"),
    ("deadletters", "park", "m", "--yes"),
    ("deadletters", "release", "m", "--yes"),
    ("deadletters", "parked"),
]


@pytest.mark.parametrize(
    "arguments",
    [
        *DEAD_LETTERS,
        ("audit",),
        ("audit", "--follow"),
        ("backup", "create"),
        ("backup", "list"),
        ("backup", "prune", "--keep", "1"),
        ("backup", "run"),
        ("backup", "run", "--dry-run"),
        ("backup", "verify"),
        ("inspect",),
        ("lanes",),
        ("lanes", "deal", "2"),
        ("restore",),
        ("rewind", "enrich-0"),
    ],
)
def test_what_stopped_a_command_is_said_to_a_program_too(
    type_in: Type, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("TOUCHLINE_NONSENSE", "1")
    status, out, err = type_in(*arguments, "--json")
    assert status == 2
    assert json.loads(out).keys() == {"error", "reason", "remedy"}
    assert json.loads(out)["error"] == "SettingsError"
    assert "TOUCHLINE_NONSENSE" in err


@pytest.mark.parametrize("arguments", [*DEAD_LETTERS, ("lanes", "deal", "2", "--dry-run")])
def test_a_database_that_is_down_is_said_to_a_program_too(type_in: Type, arguments: tuple[str, ...]) -> None:
    status, out, err = type_in(*arguments, "--json")
    refusal = json.loads(out)
    assert status == 2
    assert "PostgreSQL" in refusal["reason"]
    assert "TOUCHLINE_POSTGRES" in refusal["remedy"]
    assert refusal["reason"] in err


def test_a_deal_with_nothing_to_do_answers_a_program(
    type_in: Type, make_store: MakeStore, tmp_path: Path
) -> None:
    store = make_store(tmp_path / "recovery" / "enrich-0")
    before = store.stat().st_ino
    status, out, _ = type_in("lanes", "deal", "1", "--json")
    dealt = json.loads(out)
    assert (status, dealt["lanes_before"], dealt["lanes_after"]) == (0, 1, 1)
    assert (dealt["aside"], dealt["stores"]) == ({}, {})
    assert store.stat().st_ino == before


def test_a_dry_run_of_repeated_backups_says_what_comes_next_and_writes_nothing(
    type_in: Type, make_store: MakeStore, tmp_path: Path
) -> None:
    run = ("backup", "run", "--keep", "2", "--dry-run")
    backups = tmp_path / "backups"
    status, out, err = type_in(*run, "--json")
    assert (status, json.loads(out)["stores"]) == (0, [])
    assert "no recovery store yet" in err
    fill(make_store(tmp_path / "recovery" / "enrich-0"))
    assert json.loads(type_in(*run, "--json")[1])["stores"] == ["enrich-0"]
    assert not backups.exists()
    made = [new_name(datetime(2026, 5, day, tzinfo=UTC)) for day in (29, 30)]
    for name in made:
        (backups / "stores" / name).mkdir(parents=True)
        (backups / "stores" / name / "manifest.json").write_text("{}")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    status, out, err = type_in(*run, "--json")
    turn = json.loads(out)
    assert status == 0
    assert [removal["name"] for removal in turn["removals"]] == [made[0]]
    assert (turn["every_seconds"], turn["is_verified"]) == (60, True)
    assert f"would remove {made[0]}" in err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    partition(tmp_path / "recovery" / "enrich-0").write_bytes(b"no database")
    status, out, _ = type_in(*run, "--json")
    assert (status, json.loads(out)["error"]) == (1, "StoreDamagedError")
