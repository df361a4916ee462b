"""What every command about dead letters does first and last: open, ask, refuse by name, exit."""

import os
import pwd
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from rich.console import Console

from recovery.answers import COULD_NOT_RUN, DONE, REFUSED, tell_refusal
from recovery.audit.servers import CannotRunError, naming_servers
from recovery.deadletters.edit import CannotEditError
from recovery.deadletters.selection import SelectionError
from recovery.deadletters.sending import NotSentError
from recovery.moments import UnreadableMomentError
from recovery.refusals import refusal_of
from settings import Settings, SettingsError, load
from storage.dead_letters import DeadLetters, LettersBusyError


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


def run(work: Callable[[Console], int], json: bool = False) -> int:
    """Run a command; say on stderr what stopped it, for a program on stdout too; return the exit status."""
    errors = Console(stderr=True)
    try:
        return work(errors)
    except (RefusedError, CannotEditError, LettersBusyError) as error:
        tell_refusal(refusal_of(error), json)
        return REFUSED
    except (
        CannotRunError,
        NotSentError,
        OSError,
        SelectionError,
        SettingsError,
        UnreadableMomentError,
    ) as error:
        tell_refusal(refusal_of(error), json)
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


__all__ = ["DONE", "REFUSED", "RefusedError", "confirm", "opened_desk", "run", "who", "write_json"]
