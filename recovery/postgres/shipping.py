"""Bring what pg_receivewal wrote into a bucket: whole segments once, the growing one as it grows."""

from pathlib import Path

from recovery.postgres.lsn import PARTIAL, is_history, parse_segment
from recovery.postgres.place import WAL, Place


class Shipper:
    """Copies one timeline's folder into a bucket.

    Delivery: at least once, and a segment has the same bytes each time. What
    is not shipped yet stays in the folder, so a crash loses nothing of it.
    """

    def __init__(self, place: Place, wal: str, folder: Path, segment_bytes: int) -> None:
        self._place = place
        self._wal = f"{WAL}/{wal}"
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._shipped = {kept.name for kept in place.listed(self._wal)}
        self._partial_bytes: tuple[str, int] = ("", 0)

    def ship(self) -> None:
        """Ship what is new; raise PlaceUnavailableError."""
        whole: list[Path] = []
        growing: list[Path] = []
        for path in sorted(self._folder.iterdir()):
            segment = parse_segment(path.name, self._segment_bytes)
            if segment is None and not is_history(path.name):
                continue
            (growing if segment is not None and segment.is_partial else whole).append(path)
        for path in whole:
            if path.name not in self._shipped:
                self._place.put(f"{self._wal}/{path.name}", path)
                self._shipped.add(path.name)
                self._place.delete([f"{self._wal}/{path.name}{PARTIAL}"])
        for path in growing:
            self._ship_partial(path)
        self._tidy([path for path in whole if not is_history(path.name)])

    def _ship_partial(self, path: Path) -> None:
        try:
            # The file has its full length from the beginning; what is not written yet is zeros.
            data = path.read_bytes().rstrip(b"\0")
        except FileNotFoundError:
            return  # it became whole just now
        if (path.name, len(data)) != self._partial_bytes:
            self._place.put(f"{self._wal}/{path.name}", data)
            self._partial_bytes = (path.name, len(data))

    def _tidy(self, whole: list[Path]) -> None:
        """Keep the newest whole segment: where it ends, pg_receivewal goes on after a restart."""
        for path in whole[:-1]:
            path.unlink()
