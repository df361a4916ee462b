"""How a command ends: its exit status, and what it says when it could not do its work."""

import sys
from collections.abc import Callable

import msgspec
import psycopg

from recovery.postgres.errors import (
    NoBaseBackupError,
    PlaceUnavailableError,
    PostgresBackupError,
    ProgramFailedError,
    ProgramMissingError,
)
from settings import SettingsError

DONE, REFUSED, COULD_NOT_RUN = 0, 1, 2
_COULD_NOT = (PlaceUnavailableError, ProgramFailedError, ProgramMissingError)


def tell(line: str) -> None:
    """A line of the answer."""
    sys.stdout.write(f"{line}\n")


def remark(line: str) -> None:
    """A line for people, which is no part of the answer."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def print_json(value: object) -> None:
    """The answer for programs."""
    tell(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def concluded(what: str, work: Callable[[], int]) -> int:
    """Do the work; say an expected failure in two lines, and return the exit status."""
    try:
        return work()
    except PostgresBackupError as error:
        could_not = isinstance(error, _COULD_NOT)
        verb = "could not run" if could_not else "found nothing" if _is_empty(error) else "was refused"
        remark(f"{what} {verb}. {error}")
        remark(error.remedy)
        return COULD_NOT_RUN if could_not else REFUSED
    except psycopg.Error as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        remark(f"{what} could not run. PostgreSQL: {lines[0]}")
        remark("TOUCHLINE_POSTGRES holds its address; ./dev status shows the local one.")
        return COULD_NOT_RUN
    except (SettingsError, OSError, ValueError) as error:
        remark(f"{what} could not run. {error}")
        return COULD_NOT_RUN


def _is_empty(error: PostgresBackupError) -> bool:
    return isinstance(error, NoBaseBackupError) and not error.there
