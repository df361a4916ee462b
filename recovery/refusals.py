"""How commands say what they could not do: one form, and the exit status that goes with it."""

from collections.abc import Callable

import psycopg

from recovery.answers import COULD_NOT_RUN, REFUSED, Refusal, tell_refusal
from recovery.backup.errors import BackupError, PlaceError
from recovery.postgres.errors import (
    PlaceUnavailableError,
    PostgresBackupError,
    ProgramFailedError,
    ProgramMissingError,
)
from recovery.prepare import StoreInUseError
from settings import SettingsError
from storage.store_errors import StoreError, StoreUnreadableError

# What a person can mend: said in one paragraph, without a traceback.
EXPECTED = (
    BackupError,
    PostgresBackupError,
    StoreError,
    StoreInUseError,
    SettingsError,
    psycopg.Error,
    OSError,
    ValueError,
)
_COULD_NOT = (
    PlaceError,
    PlaceUnavailableError,
    ProgramFailedError,
    ProgramMissingError,
    StoreUnreadableError,
)
_REFUSED = (BackupError, PostgresBackupError, StoreError, StoreInUseError)
_POSTGRES_AWAY = "TOUCHLINE_POSTGRES holds the address of PostgreSQL; ./dev status shows the local one."


def concluded(work: Callable[[], int], json: bool) -> int:
    """Do the work of a command; say what stopped it, and return the exit status."""
    try:
        return work()
    except EXPECTED as error:
        return refuse(error, json)


def refuse(error: Exception, json: bool) -> int:
    """Say why on stderr, and on stdout too for a program; return the exit status."""
    tell_refusal(refusal_of(error), json)
    return status_of(error)


def status_of(error: Exception) -> int:
    """A finding or a refusal, or a run that could not even look."""
    return REFUSED if isinstance(error, _REFUSED) and not isinstance(error, _COULD_NOT) else COULD_NOT_RUN


def refusal_of(error: Exception) -> Refusal:
    """Its name, its reason in letters that any terminal prints, and what to do."""
    if isinstance(error, psycopg.Error):
        lines = str(error).strip().splitlines() or ["no answer"]
        # What the server itself says has a state; without one nobody has answered.
        is_away = isinstance(error, psycopg.OperationalError) and error.sqlstate is None
        where = "PostgreSQL cannot be reached" if is_away else "PostgreSQL"
        return Refusal(type(error).__name__, f"{where}: {_printable(lines[0])}", _POSTGRES_AWAY)
    return Refusal(type(error).__name__, _printable(str(error)), getattr(error, "remedy", ""))


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)
