"""`python -m recovery backup create | list | verify | prune | run`."""

import random
import signal
from datetime import UTC, datetime, timedelta
from threading import TIMEOUT_MAX
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from recovery.answers import COULD_NOT_RUN, DONE, REFUSED, print_json
from recovery.audit.meter import Bar
from recovery.backup import create as making
from recovery.backup import prune as pruning
from recovery.backup import schedule as turns
from recovery.backup import verify as verifying
from recovery.backup.errors import BackupError, BackupIncompleteError, BackupMissingError
from recovery.backup.manifest import moment_of
from recovery.backup.place import BackupPlace, Listed
from recovery.backup.prune import Retention
from recovery.moments import read_length
from recovery.refusals import EXPECTED, refuse, status_of
from recovery.schedule import Schedule
from recovery.signatures import Keyring, Standing
from recovery.stores.finding import all_stores
from recovery.stores.looks import KafkaLook, LogLook
from recovery.stores.restore_command import refuse_path
from settings import load
from storage.store_errors import StoreError
from telemetry import log as telemetry

_Json = Annotated[bool, Parameter(negative=(), help="Print the result as JSON.")]
_DryRun = Annotated[bool, Parameter(negative=(), help="Say what would be done, and do nothing.")]
_Keep = Annotated[int | None, Parameter(help="So many of the newest stay.")]
_Younger = Annotated[str | None, Parameter(help="All that are younger (90m, 7d) stay too.")]
AcceptUnsigned = Annotated[
    bool,
    Parameter(
        negative=(), help="Use one that is not signed, although there is a key: made before there was."
    ),
]
_NoVerify = Annotated[bool, Parameter(negative=(), help="Do not restore it into a scratch folder at once.")]


class ListedBackup(msgspec.Struct, frozen=True):
    """A line of `list`."""

    name: str
    is_complete: bool
    bytes: int
    age_seconds: float


class Verified(msgspec.Struct, frozen=True):
    """A line of `verify`."""

    name: str
    error: str = ""
    reason: str = ""
    remedy: str = ""
    signature: Standing | None = None  # how far its manifest is proven; None: it could not be used


def create(*, no_verify: _NoVerify = False, dry_run: _DryRun = False, json: _Json = False) -> int:
    """Back up all recovery stores at one cut, while lanes run; return the exit status."""
    errors = Console(stderr=True)
    try:
        settings = load()
        names = [path.name for path in all_stores(settings)]
        plain(errors, f"Backing up {', '.join(names) or 'no store'} to {settings.backup_place}.")
        if dry_run:
            errors.print("Dry run: nothing was written.")
            if json:
                print_json({"stores": names, "place": settings.backup_place})
            return DONE
        place = BackupPlace(settings.backup_place, Keyring.of(settings))
        with Bar(errors) as meter:
            manifest = making.create(settings, place, lambda: datetime.now(UTC), meter, not no_verify)
    except EXPECTED as error:
        return refuse(error, json)
    if json:
        print_json(manifest)
        return DONE
    checked = "not verified" if no_verify else "verified by restoring it into a scratch folder"
    plain(errors, f"Backup {manifest.name}: {manifest.size:,} bytes, {checked}.")
    plain(errors, place.standing(manifest).sentence)
    for look in (manifest.kafka, manifest.log):
        if not isinstance(look, KafkaLook | LogLook):
            plain(errors, f"The manifest says unknown: {look.reason}")
    return DONE


def list_backups(*, json: _Json = False) -> int:
    """Show the backups that are there, finished or not; return the exit status."""
    try:
        now = datetime.now(UTC)
        found = [_listed(backup, now) for backup in BackupPlace(load().backup_place).listed()]
    except EXPECTED as error:
        return refuse(error, json)
    if json:
        print_json(found)
        return DONE
    table = Table("backup", "bytes", "age", "", box=None, pad_edge=False)
    for backup in found:
        state = "" if backup.is_complete else "incomplete: no manifest, so it does not exist"
        age = timedelta(seconds=round(backup.age_seconds))
        table.add_row(backup.name, f"{backup.bytes:,}", str(age), state)
    Console().print(table if found else "There is no backup yet: python -m recovery backup create")
    return DONE


def _listed(backup: Listed, now: datetime) -> ListedBackup:
    begun = moment_of(backup.name) or now
    return ListedBackup(backup.name, backup.is_complete, backup.size, (now - begun).total_seconds())


def verify(
    name: Annotated[str | None, Parameter(help="Of a backup. Without one: the newest.")] = None,
    *,
    all: Annotated[bool, Parameter(negative=(), help="Every backup, unfinished ones too.")] = False,  # noqa: A002
    accept_unsigned: AcceptUnsigned = False,
    json: _Json = False,
) -> int:
    """Check backups by restoring them into a scratch folder; return the exit status."""
    errors = Console(stderr=True)
    try:
        refuse_path(name)
        settings = load()
        place = BackupPlace(settings.backup_place, Keyring.of(settings, accept_unsigned))
        names = [name] if name else _to_verify(place, every=all)
        results: list[Verified] = []
        status = DONE
        with Bar(errors) as meter:
            for each in names:
                try:
                    manifest = verifying.verify(place, each, meter)
                    results.append(Verified(each, signature=place.standing(manifest)))
                except (BackupError, StoreError) as error:
                    if status_of(error) == COULD_NOT_RUN:
                        raise
                    results.append(Verified(each, type(error).__name__, str(error), error.remedy))
                    status = REFUSED
    except EXPECTED as error:
        return refuse(error, json)
    if json:
        print_json(results)
        return status
    console = Console()
    for result in results:
        plain(console, f"{result.name}: {f'{result.error}: {result.reason}' if result.error else 'sound'}")
        said = result.signature.sentence if result.signature else result.remedy
        if said:
            plain(errors, f"{result.name}: {said}")
    return status


def _to_verify(place: BackupPlace, every: bool) -> list[str]:
    listed = place.listed()
    if every and listed:
        return [backup.name for backup in listed]
    complete = [backup.name for backup in listed if backup.is_complete]
    if complete:
        return complete[-1:]
    if listed:
        raise BackupIncompleteError(listed[-1].name)
    raise BackupMissingError("to verify", [])


def prune(
    *, keep: _Keep = None, younger_than: _Younger = None, dry_run: _DryRun = False, json: _Json = False
) -> int:
    """Remove old backups, and those never finished; return the exit status."""
    errors = Console(stderr=True)
    try:
        if keep is None and younger_than is None:
            raise ValueError("say what stays: --keep COUNT, --younger-than AGE or both")
        place = BackupPlace(load().backup_place)
        removals = pruning.plan(place.listed(), _retention(keep, younger_than), datetime.now(UTC))
        for removal in removals:
            plain(errors, f"{'would remove' if dry_run else 'removing'} {removal.name}: {removal.reason}")
        if not dry_run:
            pruning.prune(place, removals)
        errors.print(f"{len(removals)} backups {'would go' if dry_run else 'removed'}.")
    except EXPECTED as error:
        return refuse(error, json)
    if json:
        print_json(removals)
    return DONE


def run(
    *,
    every: Annotated[str, Parameter(help="Between the beginnings of two backups.")] = "60s",
    keep: _Keep = 60,
    younger_than: _Younger = None,
    no_verify: _NoVerify = False,
    dry_run: Annotated[
        bool, Parameter(negative=(), help="Say what the first turn would do, and do nothing.")
    ] = False,
    json: Annotated[
        bool, Parameter(negative=(), help="Print JSON: of --dry-run, and of why it could not start.")
    ] = False,
) -> int:
    """Back up and prune again and again until SIGTERM; return the exit status."""

    def now() -> datetime:
        return datetime.now(UTC)

    try:
        settings, interval = load(), read_length("--every", every)
        if not 1 <= interval.total_seconds() <= TIMEOUT_MAX:
            raise ValueError(f"--every {every}: between two backups are 1s to {int(TIMEOUT_MAX)}s")
        backups = turns.StoreBackups(settings, interval, _retention(keep, younger_than), now, not no_verify)
        if dry_run:
            _say(backups.next_turn(), json)
            return DONE
        # The place itself may be away and come back; its name must be one.
        BackupPlace(settings.backup_place)
    except EXPECTED as error:
        return refuse(error, json)
    telemetry.configure()
    schedule = Schedule(backups.turn, interval, turns.EXPECTED, turns.log, turns.FAILED, now, random.Random())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, schedule.stop)
    schedule.run()
    turns.log.info(turns.STOPPED)
    return DONE


def _say(turn: turns.NextTurn, json: bool) -> None:
    errors = Console(stderr=True)
    if turn.stores:
        check = " and verify it by restoring it" if turn.is_verified else ""
        plain(errors, f"Would back up {', '.join(turn.stores)} to {turn.place}{check}.")
    else:
        plain(errors, "There is no recovery store yet: it would wait for the lanes to make theirs.")
    for removal in turn.removals:
        plain(errors, f"would remove {removal.name}: {removal.reason}")
    plain(errors, f"Then again every {turn.every_seconds:g} s. Dry run: nothing was written.")
    if json:
        print_json(turn)


def _retention(keep: int | None, younger_than: str | None) -> Retention:
    if keep is not None and keep < 1:
        raise ValueError(f"--keep {keep}: at least one backup stays")
    return Retention(keep or 1, read_length("--younger-than", younger_than) if younger_than else timedelta())


def plain(console: Console, text: str) -> None:
    """Print names and paths as they are."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
