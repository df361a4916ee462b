"""A vendor's file as a feed would have sent it: when, in which order, how often. Pure."""

import random
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from ingest.vendors import VendorFormatError
from ingest.vendors.statsbomb import FIRST_CORRECTION, Mapper

# A longer silence of the vendor's clock is cut to this: a file may hold hours
# of it, and a stamp from the far future must not stop what follows.
LONGEST_SILENCE = timedelta(minutes=30)
# Copies of a line follow it within this, unless lines are shuffled over more.
_COPIES_WITHIN = timedelta(seconds=10)

# Line-ups are out an hour before the match: no disorder of a match moves them.
# They tell who is at home, without which nothing can be mapped.
_LINE_UP = b'"Starting XI"'

_ISO_STAMP = re.compile(rb'"_event_time"\s*:\s*"([^"]+)"')
_CLOCK = re.compile(rb'"timestamp"\s*:\s*"(\d\d):(\d\d):(\d\d(?:\.\d+)?)"')
_PERIOD = re.compile(rb'"period"\s*:\s*(\d)')
_to_datetime = msgspec.json.Decoder(datetime).decode
# Longer than any period is: keeps the periods of a restarting clock apart.
_PERIOD_LASTS = timedelta(hours=1)


class Due(NamedTuple):
    """A line and when it is sent, in seconds from the start."""

    at: float
    line: bytes


def lines_of(content: bytes) -> list[bytes]:
    """The lines of a file; empty ones are none."""
    return [line for line in content.split(b"\n") if line.strip()]


def numbered(lines: Sequence[bytes], match: str) -> list[bytes]:
    """The lines; of an id that the file publishes in several versions, each says which one it is.

    What stands later in the file is newer. A feed that serves the lines in
    disorder must say so, because its reader knows versions by their order.
    """
    mapper = Mapper(match)
    versions = [_version(line, mapper) for line in lines]
    several = {name for name, number in versions if number > 0}
    return [
        b'{"_published":%d,' % number + line.lstrip()[1:] if name in several else line
        for line, (name, number) in zip(lines, versions, strict=True)
    ]


def _version(line: bytes, mapper: Mapper) -> tuple[str, int]:
    """Id and version of a line, no id for a line that is no record."""
    try:
        event = mapper.map(line)
    except VendorFormatError:
        return "", 0
    return event.source_event_id, max(0, event.revision - FIRST_CORRECTION)


def schedule(
    lines: Sequence[bytes], speed: float | None, shuffle_within: timedelta, copies: int, draw: random.Random
) -> list[Due]:
    """Every line `copies` times, in the order it is sent.

    `speed` is how much faster than the match; None: all at once. A line moves
    back by at most `shuffle_within` of the match's own time, line-ups excepted.
    """
    moments = _moments(lines)
    window = max(shuffle_within, _COPIES_WITHIN if copies > 1 else timedelta())
    placed: list[tuple[timedelta, int, bytes]] = []
    for line, moment in zip(lines, moments, strict=True):
        for copy in range(copies):
            spread = window if copy else timedelta() if _LINE_UP in line else shuffle_within
            moved = moment + timedelta(seconds=draw.uniform(0, spread.total_seconds()))
            placed.append((moved, len(placed), line))
    placed.sort(key=_by_time)
    return [Due(0.0 if speed is None else moment.total_seconds() / speed, line) for moment, _, line in placed]


def _by_time(placed: tuple[timedelta, int, bytes]) -> tuple[timedelta, int]:
    return placed[0], placed[1]


def _moments(lines: Sequence[bytes]) -> list[timedelta]:
    """When each line was said, from the first: never back, and never far ahead.

    The file's order is the feed's order. A stamp that lies before its
    predecessor's, or is missing, says nothing about when the line was sent.
    """
    stamps = _filled([_stamp(line) for line in lines])
    moments: list[timedelta] = []
    latest = stamps[0] if stamps else timedelta()
    moment = timedelta()
    for stamp, following in zip(stamps, [*stamps, latest][1:], strict=True):
        ahead = stamp - latest
        if ahead <= LONGEST_SILENCE:
            latest = max(latest, stamp)
            moment += max(ahead, timedelta())
        elif following - latest > LONGEST_SILENCE:  # a silence: the next line is behind it too
            latest = stamp
            moment += LONGEST_SILENCE
        moments.append(moment)
    return moments


def _filled(stamps: Sequence[timedelta | None]) -> list[timedelta]:
    """A line without a stamp was sent with the one before it."""
    filled: list[timedelta] = []
    known = next((stamp for stamp in stamps if stamp is not None), timedelta())
    for stamp in stamps:
        known = stamp if stamp is not None else known
        filled.append(known)
    return filled


def _stamp(line: bytes) -> timedelta | None:
    """The time a line carries, from any fixed point; a line that is no JSON may still carry one."""
    if found := _ISO_STAMP.search(line):
        try:
            stamp = _to_datetime(b'"' + found[1] + b'"')
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return timedelta(seconds=stamp.timestamp())
    clock, period = _CLOCK.search(line), _PERIOD.search(line)
    if clock is None or period is None:
        return None
    into = timedelta(hours=int(clock[1]), minutes=int(clock[2]), seconds=float(clock[3]))
    return int(period[1]) * _PERIOD_LASTS + into
