"""Run the page's own tests, written for Node's test runner."""

import subprocess
from pathlib import Path

import pytest

from tests.unit.web.node import node_argv

HERE = Path(__file__).parent


@pytest.mark.parametrize("module", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.stem)
def test_page_module(module: Path) -> None:
    done = subprocess.run(node_argv("--test", module), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
