"""How far the archive is behind the server, in bytes and in seconds."""

from collections import deque
from datetime import datetime

import msgspec

from recovery.postgres.place import STATUS, Place

# One look each second for an hour: enough to say how old the oldest byte is that is missing.
_LOOKS_KEPT = 3_600


class ArchiveStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What an archiver says of itself; old when it does not run."""

    at: datetime
    system_id: int
    timeline: int
    written_lsn: str
    archived_lsn: str
    lag_bytes: int
    lag_seconds: float


class Lag:
    """Remembers when the server had written how far, to date what the archive lacks."""

    def __init__(self) -> None:
        self._written: deque[tuple[float, int]] = deque(maxlen=_LOOKS_KEPT)

    def look(self, now: float, written: int, archived: int) -> tuple[int, float]:
        """Bytes, and the age in seconds of the oldest of them as far as was looked."""
        while self._written and self._written[0][1] <= archived:
            self._written.popleft()
        if written <= archived:
            return 0, 0.0
        self._written.append((now, written))
        return written - archived, now - self._written[0][0]


def read_status(place: Place) -> ArchiveStatus | None:
    """What the last archiver said; None when there was none."""
    try:
        return msgspec.json.decode(place.read(STATUS), type=ArchiveStatus)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def write_status(place: Place, status: ArchiveStatus) -> None:
    place.put(STATUS, msgspec.json.encode(status))
