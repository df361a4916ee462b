"""The page for the operator does what it says: each of its commands runs, in the order of the page."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from local.environment import environment_of
from settings import ROOT
from tests.fixtures.audit_world import HOME, World

_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PAGE = (ROOT / "docs" / "recovery.md").read_text()


def _run_lane_to_the_end(environment: dict[str, str], store: Path) -> None:
    argv = ["-m", "bytewax.run", "dataflows.enrich", "-r", str(store), "-s", "1", "-b", "0"]
    subprocess.run([sys.executable, *argv], cwd=ROOT, env=environment, check=True)


@pytest.mark.timeout(300)
def test_the_page_works_as_written(own_world: World, tmp_path: Path) -> None:
    """On an installation whose lane has just stopped, with dead letters; every command ends with 0."""
    settings = replace(own_world.settings, stop_at_end=True)
    environment = environment_of(settings) | {
        "PATH": os.environ["PATH"],
        "MATCH": HOME,
        "PGDATA": str(tmp_path / "postgres" / "data"),
    }
    _run_lane_to_the_end(environment, settings.data / "recovery" / "enrich-0")
    blocks = _BLOCK.findall(_PAGE)
    assert blocks
    for block in blocks:
        command = block.replace("./dev recovery", f"{sys.executable} -m recovery")
        done = subprocess.run(
            ["sh", "-eu", "-c", command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def test_the_page_names_every_command() -> None:
    """Who looks for a command finds at least when it is needed."""
    texts = (ROOT / "recovery" / "help").glob("*.txt")
    # A group and its command: "postgres begin-lives" from postgres-begin-lives.txt.
    listed = {text.stem.replace("-", " ", 1) for text in texts}
    assert not [name for name in sorted(listed) if f"recovery {name}" not in _PAGE]
