"""What every command about dead letters does first and last: open, ask, refuse by name, exit."""

import os
import pwd
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from rich.console import Console

from recovery.audit.servers import CannotRunError, naming_servers
from recovery.deadletters.edit import CannotEditError
from recovery.deadletters.selection import SelectionError
from recovery.deadletters.sending import NotSentError
from recovery.moments import UnreadableMomentError
from settings import Settings, SettingsError, load
from storage.dead_letters import DeadLetters, LettersBusyError

DONE, REFUSED, COULD_NOT_RUN = 0, 1, 2
_START = "Start the stack with ./dev up and look with ./dev status."


class RefusedError(RuntimeError):
    """The command does not do what was asked; its text says what to do instead."""


@contextmanager
def opened_desk() -> Iterator[tuple[Settings, DeadLetters]]:
    """The dead letters of the installation that the environment names; raise CannotRunError."""
    settings = load()
    with naming_servers(settings), DeadLetters(settings.postgres) as desk:
        if not desk.is_ready():
            reason = "the database has no table of what was done about dead letters"
            raise CannotRunError("PostgreSQL", reason, "./dev up brings its tables to this version.")
        yield settings, desk


def run(work: Callable[[Console], int]) -> int:
    """Run a command; say on stderr what stopped it, and return the exit status."""
    errors = Console(stderr=True)

    def tell(*lines: object) -> None:
        for line in lines:
            errors.print(str(line), markup=False, soft_wrap=True)

    try:
        return work(errors)
    except (RefusedError, SelectionError, UnreadableMomentError, CannotEditError, LettersBusyError) as error:
        tell(error)
        return REFUSED
    except NotSentError as error:
        tell(f"Kafka: {error}.", "Those that were sent stay noted as sent; run it again. " + _START)
    except CannotRunError as error:
        tell(f"It could not run. {error.part}: {error.reason}", error.remedy)
    except (SettingsError, OSError) as error:
        tell(f"It could not run. {error}")
    return COULD_NOT_RUN


def who() -> str:
    """The person, as the operating system knows them."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def confirm(question: str, yes: bool, errors: Console) -> None:
    """Ask before something is written; raise RefusedError when the answer is not yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise RefusedError(
            "Nothing was done: nobody is there to ask. --yes says yes, --dry-run shows what it would do."
        )
    if errors.input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise RefusedError("Nothing was done.")


def write_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
