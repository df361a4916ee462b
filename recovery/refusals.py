"""How commands say what they could not do: one form, and the exit status that goes with it."""

import sys

import msgspec
from rich.console import Console

from recovery.backup.errors import BackupError, PlaceError
from recovery.prepare import StoreInUseError
from settings import SettingsError
from storage.store_errors import StoreError, StoreUnreadableError

DONE, REFUSED, COULD_NOT_RUN = 0, 1, 2

# What a person can mend: said in one paragraph, without a traceback.
EXPECTED = (BackupError, StoreError, StoreInUseError, SettingsError, OSError, ValueError)


class Refusal(msgspec.Struct, frozen=True):
    """What `--json` prints instead of a result."""

    error: str  # the error's name
    reason: str
    remedy: str


def refuse(error: Exception, json: bool) -> int:
    """Say why on stderr, and on stdout too for a program; return the exit status."""
    refusal = Refusal(type(error).__name__, _printable(str(error)), getattr(error, "remedy", ""))
    if json:
        sys.stdout.buffer.write(msgspec.json.encode(refusal) + b"\n")
    console = Console(stderr=True)
    console.print(f"{refusal.error}: {refusal.reason}", markup=False, soft_wrap=True)
    if refusal.remedy:
        console.print(refusal.remedy, markup=False, soft_wrap=True)
    return status_of(error)


def status_of(error: Exception) -> int:
    """A finding or a refusal, or a run that could not even look."""
    if isinstance(error, PlaceError | StoreUnreadableError | SettingsError):
        return COULD_NOT_RUN
    if isinstance(error, BackupError | StoreError | StoreInUseError):
        return REFUSED
    return COULD_NOT_RUN


def print_json(value: object) -> None:
    """A result for a program."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)
