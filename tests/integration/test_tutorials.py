"""The tutorials do what they say: their files are written and their commands run, in a copy of all this."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from settings import ROOT
from tests.free_ports import a_free_base

TUTORIALS = ("first-match.md", "change-a-step.md")
_BLOCK = re.compile(r"^```(sh|python)[ ]?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What ./dev fetched is shared with the copy; data and caches are not. The two files by which
# ./dev knows that it has set up are the copy's own: it must not set up what others are using.
_SHARED = (".venv", ".tooling/maven", ".tooling/start-cache", ".tooling/uv", "web/vendor", "web/node_modules")
_LEFT_OUT = shutil.ignore_patterns(
    ".git",
    ".tooling",
    ".venv",
    ".touchline",
    "node_modules",
    "vendor",
    "__pycache__",
    ".*_cache",
    ".hypothesis",
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    if not (ROOT / ".venv").exists():
        pytest.skip("needs the environment that ./dev makes; run the tests with ./dev test")
    folder = tmp_path / "a copy"
    shutil.copytree(ROOT, folder, ignore=_LEFT_OUT)
    for name in _SHARED:
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "requirements.lock", folder / ".tooling" / "installed.lock")
    (folder / ".tooling" / "installed.path").write_text(f"{folder.resolve()}\n")
    return folder


@pytest.mark.timeout(400)
@pytest.mark.parametrize("tutorial", TUTORIALS)
def test_a_tutorial_works_as_written(copy: Path, tutorial: str) -> None:
    """Every block in order, each command with exit code 0."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TOUCHLINE_")},
        "TOUCHLINE_PORT_BASE": str(a_free_base()),
    }
    blocks = _BLOCK.findall((copy / "docs" / tutorial).read_text())
    assert blocks
    for language, path, text in blocks:
        if language == "python":
            (copy / path).write_text(text)
            continue
        done = subprocess.run(
            ["sh", "-eu", "-c", text], cwd=copy, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{text}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
