"""The formats of broadcast feeds: one module each, named by TOUCHLINE_BROADCAST_FORMAT.

A module has a class `Mapper`; nothing else of the platform knows the format.
"""

import re
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol

from ingest.publications import Publications
from schemas.raw import RawEvent
from schemas.validation import ReadRecord

OURS = "touchline"  # records as ours, each naming its match


class VendorFormatError(ValueError):
    """A line is not what the vendor's format promises."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


class UnknownVendorError(ValueError):
    """There is no mapper of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is no broadcast format; there are {', '.join(known())}")
        self.name = name


class Mapper(Protocol):
    """Turns the lines of one match into records; may remember what it saw of that match.

    Which version of an event a line is comes from the feed's publications,
    where the vendor does not count them.
    """

    def __init__(self, match: str, publications: Publications) -> None: ...

    def map(self, line: bytes) -> RawEvent | ReadRecord:
        """The record that a line stands for, or is; raise VendorFormatError, nothing else."""
        ...


def known() -> list[str]:
    """The names of all formats."""
    return sorted(module.name for module in iter_modules(__path__))


def mapper(name: str, match: str, publications: Publications | None = None) -> Mapper:
    """A mapper of a format for one match of a feed; raise UnknownVendorError."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name not in known():
        raise UnknownVendorError(name)
    made: Mapper = import_module(f"{__name__}.{name}").Mapper(
        match, Publications() if publications is None else publications
    )
    return made
