"""A clock of one process that jumps when a file says so."""

from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from types import ModuleType
from typing import Any


def make_jumpy(module: ModuleType, file: Path) -> None:
    """Let `datetime.now` of a module be wrong by the seconds that a file holds, while it is there."""

    class Jumpy(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            right = datetime.now(tz)
            try:
                return right + timedelta(seconds=float(file.read_text()))
            except (FileNotFoundError, ValueError):  # gone, or being written
                return right

    module.datetime = Jumpy  # type: ignore[attr-defined]
