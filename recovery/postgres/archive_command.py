"""`python -m recovery postgres archive`: the composition root of the archiver."""

import signal
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from recovery.answers import DONE, print_json, tell
from recovery.postgres.archive_status import ArchiveStatus, read_status
from recovery.postgres.archiver import SLOT, Archiver
from recovery.postgres.base_backups import Rhythm, taking_turns
from recovery.postgres.command import AsJson, DryRun, spool_of
from recovery.postgres.place import Place
from recovery.postgres.programs import Programs
from recovery.refusals import concluded
from recovery.signatures import Keyring
from settings import Settings, load, parse_duration
from storage.connect import connect
from storage.replication import drop_slot
from telemetry.log import configure


def archive(
    *,
    drop: Annotated[bool, Parameter(negative=())] = False,
    backup_every: str | None = None,
    keep: int = 4,
    first_after: str = "0s",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int:
    """Archive the write-ahead log until asked to stop.

    Parameters
    ----------
    drop
        Give the slot back and end: the server keeps nothing for an archive any more.
    backup_every
        Take base backups, too: when the newest is older than this (6h), or the archive has a hole since.
    keep
        So many base backups stay, with the log since the oldest of them.
    first_after
        Wait so long before the first base backup, for a machine that is just starting.
    as_json
        Print JSON: what would be done, or was done with --drop, else where the archive stands at the end.
    """

    def work() -> int:
        settings = load()
        configure()
        rhythm = None if drop else _rhythm(backup_every, keep, first_after)
        answer = ArchiveAnswer("give back" if drop else "receive", SLOT, settings.backup_place, rhythm)
        if dry_run:
            line = f"would {answer.does} the slot {SLOT}; the archive is {answer.place}"
            backups = f"; a base backup every {backup_every}, {keep} stay" if rhythm else ""
            _tell_archive(answer, as_json, line + backups)
            return DONE
        if drop:
            with connect(settings.postgres, "touchline-archive") as connection:
                answer.is_done = drop_slot(connection, SLOT)
            _tell_archive(answer, as_json, "given back" if answer.is_done else "there was none")
            return DONE
        place, programs = (
            Place(settings.backup_place, Keyring.of(settings)),
            Programs(settings.postgres_binaries),
        )
        archiver = Archiver(settings.postgres, place, programs, spool_of(settings))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, archiver.stop)
        with ExitStack() as stack:
            if rhythm is not None:
                stack.enter_context(_base_backups(settings, place, rhythm))
            archiver.run()
        if as_json:
            answer.is_done, answer.status = True, read_status(place)
            print_json(answer)
        return DONE

    return concluded(work, as_json)


def _rhythm(every: str | None, keep: int, first_after: str) -> Rhythm | None:
    """Read the options about base backups; raise ValueError."""
    if every is None:
        return None
    if keep < 1:
        raise ValueError(f"--keep {keep}: at least one base backup stays")
    interval = parse_duration(every)
    if interval < timedelta(seconds=1):
        raise ValueError(f"--backup-every {every} is shorter than a second")
    return Rhythm(interval, keep, parse_duration(first_after))


def _base_backups(settings: Settings, place: Place, rhythm: Rhythm) -> AbstractContextManager[None]:
    programs = Programs(settings.postgres_binaries)
    return taking_turns(
        settings.postgres, place, programs, spool_of(settings), rhythm, lambda: datetime.now(UTC)
    )


class ArchiveAnswer(msgspec.Struct):
    """What `archive --json` prints."""

    does: Literal["receive", "give back"]
    slot: str
    place: str
    base_backups: Rhythm | None
    is_done: bool = False  # False, too, when there was no slot to give back
    status: ArchiveStatus | None = None  # where the archive stood at the end


def _tell_archive(answer: ArchiveAnswer, as_json: bool, line: str) -> None:
    if as_json:
        print_json(answer)
    else:
        tell(line)
