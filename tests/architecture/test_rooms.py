"""Each folder has a room, and each room imports only what its row says."""

import ast
import subprocess
import sys
from pathlib import Path

from settings import ROOT
from tests.architecture.tree import folders, parsed, project, python_files, rooms

CONTRACTS = project()["tool"]["importlinter"]
# Rooms without Python of their own that others could import.
NO_PACKAGES = {"web", "docs", "tests", "deploy"}


def test_import_contracts_hold() -> None:
    """In a process of its own: it switches off every logger that is there."""
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout  # names the line that breaks a contract


def test_every_folder_has_a_row_in_the_table_of_rooms() -> None:
    """A new folder takes a row in docs/architecture.md first, and a row without a folder goes."""
    assert folders() | {"settings"} == set(rooms())


def test_every_room_with_code_is_under_contract() -> None:
    """A package outside the contracts could import whatever it liked."""
    assert set(CONTRACTS["root_packages"]) == set(rooms()) - NO_PACKAGES - {"settings"}


def test_contracts_say_what_the_table_says() -> None:
    packages = set(CONTRACTS["root_packages"]) | {"settings"}
    contracts = {c["id"]: c for c in CONTRACTS["contracts"]}
    for room, allowed in rooms().items():
        if allowed is None or room in NO_PACKAGES | {"settings"}:
            continue
        contract = contracts.pop(f"room-{room}")
        assert contract["source_modules"] == [room]
        assert set(contract["forbidden_modules"]) == packages - allowed - {room}, room
    assert not [name for name in contracts if name.startswith("room-")]


def test_settings_imports_nothing_of_ours() -> None:
    """It is one module, so import-linter cannot hold it."""
    (path,) = [path for path in python_files() if path.parts == ("settings.py",)]
    imported = {
        name.split(".")[0]
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
    assert not imported & set(rooms())


def test_bytewax_is_imported_in_its_rooms_only() -> None:
    """Releases are rare and its behaviour is pinned by tests, so it stays where those look."""
    (contract,) = [c for c in CONTRACTS["contracts"] if c["id"] == "bytewax"]
    its_rooms = {"dataflows", "sources", "sinks", "recovery"}
    assert set(contract["source_modules"]) == set(CONTRACTS["root_packages"]) - its_rooms
