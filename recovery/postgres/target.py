"""Up to where a restore goes: everything, a moment, or a place in the log."""

import re
from datetime import UTC, datetime
from typing import NamedTuple

from recovery.moments import read_moment
from recovery.postgres.lsn import parse_lsn

_LSN = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}")


class Target(NamedTuple):
    """Everything when both are None."""

    time: datetime | None = None
    lsn: str | None = None

    def __str__(self) -> str:
        if self.time is not None:
            return self.time.isoformat()
        return self.lsn or "latest"

    @property
    def position(self) -> int | None:
        return parse_lsn(self.lsn) if self.lsn else None

    @property
    def settings(self) -> dict[str, str]:
        """What the server needs to be told."""
        if self.time is not None:
            return {"recovery_target_time": self.time.astimezone(UTC).isoformat(sep=" ")}
        return {"recovery_target_lsn": self.lsn} if self.lsn else {}


def parse_target(time: str | None, lsn: str | None, now: datetime) -> Target:
    """Read the command's options; raise ValueError."""
    if time and lsn:
        raise ValueError("--to-time and --to-lsn exclude each other")
    if lsn and not _LSN.fullmatch(lsn):
        raise ValueError(f"--to-lsn {lsn!r} is no place in the log like 0/3A12F00")
    if time is None or time == "latest":
        return Target(lsn=lsn)
    return Target(time=read_moment("--to-time", time, now))
