"""Places in the write-ahead log, and the names of the files that hold them."""

import re
from typing import NamedTuple

_SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.partial)?")
_HISTORY = re.compile(r"[0-9A-F]{8}\.history")
PARTIAL = ".partial"


class Segment(NamedTuple):
    """A file of the log: the timeline, and which one it is counted from the beginning."""

    timeline: int
    number: int
    is_partial: bool

    @property
    def order(self) -> tuple[int, int]:
        return self.number, self.timeline


class Hole(NamedTuple):
    """The first segment that is missing or cut off, and the place where what lies before it ends."""

    segment: str
    last_lsn: str
    is_cut: bool = False

    @property
    def at(self) -> int:
        return parse_lsn(self.last_lsn)

    def __str__(self) -> str:
        rest = ", but for its beginning" if self.is_cut else ""
        return f"segment {self.segment} of the write-ahead log is missing from the archive{rest}"


def parse_lsn(text: str) -> int:
    """Read `1A/2B3C4D5E` as bytes from the beginning; raise ValueError."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def format_lsn(lsn: int) -> str:
    """Write a place as PostgreSQL does."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def parse_segment(name: str, segment_bytes: int) -> Segment | None:
    """Read a file's name; None for what is no segment."""
    match = _SEGMENT.fullmatch(name)
    if match is None:
        return None
    per_high = 0x1_0000_0000 // segment_bytes
    return Segment(int(match[1], 16), int(match[2], 16) * per_high + int(match[3], 16), match[4] is not None)


def segment_name(timeline: int, number: int, segment_bytes: int) -> str:
    """The name of a whole segment."""
    per_high = 0x1_0000_0000 // segment_bytes
    return f"{timeline:08X}{number // per_high:08X}{number % per_high:08X}"


def is_history(name: str) -> bool:
    """Whether a file says where timelines parted."""
    return _HISTORY.fullmatch(name) is not None
