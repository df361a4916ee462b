"""Run `python -m recovery` as an operator would, beside a platform under torture."""

import asyncio
import os
import sys
from typing import NamedTuple

from local.environment import environment_of
from settings import ROOT
from tests.torture.rig import Rig, environment_under_torture


class Answer(NamedTuple):
    """How a command ended, and all that it said."""

    status: int
    said: str


async def run_recovery(rig: Rig, *arguments: str, part: str = "") -> Answer:
    """Run a command; with a `part` it can be killed at the crash points of that part."""
    under = environment_under_torture(rig.folder, part) if part else {}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "recovery", *arguments),
        cwd=ROOT,
        env={**os.environ, **environment_of(rig.settings), **under},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return Answer(process.returncode, said.decode(errors="replace").strip())
