"""`python -m recovery prepare`: the child that opens a recovery store.

Nothing that runs a dataflow imports this (see `recovery.prepare`).
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from recovery.answers import COULD_NOT_RUN, DONE, REFUSED, Refusal, print_json, tell_refusal
from recovery.lanes.holders import refuse_held
from recovery.prepare import StoreInUseError, hold_store
from recovery.stores.asides import keep_foreign, name_aside, name_foreign, prune_asides, surplus
from storage.recovery_store import Store, delete_unclosed, read_store
from storage.store_errors import StoreError, StoreForeignError, StoreMissingError, StoreUnreadableError
from storage.store_states import ForeignState, drop_states, foreign_states, kept, shard_keys

# A store with more of them is hostile, and the file that keeps them has them all.
_STATES_SHOWN = 5


class Preparation(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be done to a store, or was done."""

    store: str
    does: Literal["create", "delete unclosed rows"]
    partitions: int
    resume_epoch: int
    unclosed_rows: int = 0  # deleted
    foreign_shards: list[str] = []  # why the store that was there goes aside
    foreign_states: list[str] = []  # that no lane wrote: they are put aside, and not run
    states_kept_in: str | None = None
    aside: str | None = None
    pruned: list[str] = []  # older ones that were put aside, and go
    is_done: bool = False

    @property
    def lines(self) -> list[str]:
        """For people; what was put aside is said apart from the rest."""
        would = "" if self.is_done else "would be "
        if self.does == "create":
            return [f"{would}created {self.store} with {self.partitions} partitions"]
        return [
            f"resumes at flow epoch {self.resume_epoch}, {self.unclosed_rows} rows of unclosed epochs"
            f" {would}deleted"
        ]

    @property
    def warnings(self) -> list[str]:
        """What a lane says in its log, too."""
        verb = "was" if self.is_done else "would be"
        return [*self._state_warnings(verb), *self._store_warnings(verb)]

    def _state_warnings(self, verb: str) -> Iterator[str]:
        for state in self.foreign_states[:_STATES_SHOWN]:
            yield f"StateForeignError: {self.store}: {state}: it {verb} put aside, and nothing ran it"
        if len(self.foreign_states) > _STATES_SHOWN:
            yield f"and {len(self.foreign_states) - _STATES_SHOWN} more states that no lane wrote"
        if self.states_kept_in is not None:
            yield (
                f"{Path(self.states_kept_in).name} beside it keeps them: find out who could write there."
                " The lane does without, and reads on where the log says"
            )

    def _store_warnings(self, verb: str) -> Iterator[str]:
        if self.aside is None:
            return
        why = (
            f"holds the shards {', '.join(self.foreign_shards)}, which are not this lane's"
            if self.foreign_shards
            else "holds states of steps that no lane has"
        )
        name = Path(self.aside).name
        yield f"{self.store} {why}: it {verb} put aside as {name}, and the lane begins a new one"
        if self.pruned:
            yield f"put aside long before, and {verb} removed: {', '.join(self.pruned)}"


def prepare(
    directory: Path,
    *,
    partitions: Annotated[int, Parameter(help="Of a store that is not there yet.")] = 1,
    keys: Annotated[
        str,
        Parameter(help="The lane's shards (000,002): a store of others is put aside for a new one."),
    ] = "",
    when_told: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Begin when a line comes on standard input, for who has locked the store by then.",
        ),
    ] = False,
    dry_run: Annotated[bool, Parameter(negative=(), help="Say what would be done, and do nothing.")] = False,
    json: Annotated[bool, Parameter(negative=(), help="Print it as JSON.")] = False,
) -> int:
    """Create a missing store, or delete what no closed flow epoch wrote; return the exit status."""
    if when_told and not sys.stdin.readline():
        return COULD_NOT_RUN  # who started this has gone
    directory = directory.absolute()
    shards = frozenset(keys.split(",")) if keys else frozenset()
    try:
        if partitions < 1:
            raise ValueError(f"--partitions {partitions}: a store has at least one")
        with ExitStack() as held:
            if dry_run:
                refuse_held([directory])
            elif not when_told:
                held.callback(hold_store(directory).release)
            now = datetime.now(UTC)
            preparation = plan(directory, partitions, shards, now)
            if not dry_run:
                preparation = carry_out(directory, preparation, now)
    except (StoreInUseError, StoreError) as error:
        _tell(error, json)
        return COULD_NOT_RUN if isinstance(error, StoreUnreadableError) else REFUSED
    except (ValueError, OSError, subprocess.CalledProcessError) as error:
        _tell(error, json)
        return COULD_NOT_RUN
    for line in preparation.warnings:
        sys.stderr.write(f"{line}\n")
    if json:
        print_json(preparation)
    else:
        sys.stdout.writelines(f"{line}\n" for line in preparation.lines)
    return DONE


def _tell(error: Exception, json: bool) -> None:
    # As `recovery.refusals` does, which needs clients of Postgres and of object stores.
    tell_refusal(Refusal(type(error).__name__, str(error), getattr(error, "remedy", "")), json)


def plan(directory: Path, partitions: int, shards: frozenset[str], now: datetime) -> Preparation:
    """Say what has to be done; raise StoreError, as StoreForeignError for what is no store.

    A store with shards of other lanes goes aside: Bytewax would end each
    start on it with an error. It came here when stores were mixed up, or
    from another number of lanes. So does one with a foreign state of a step
    that no lane has; one of a lane's step goes aside alone. A lane of enrich
    loses nothing by either: it reads on where the log says.
    """
    new = Preparation(store=str(directory), does="create", partitions=partitions, resume_epoch=1)
    if directory.is_file():
        raise StoreForeignError(directory, "it is a file")
    try:
        store = read_store(directory)
    except StoreMissingError:
        return new
    foreign = _foreign(directory, store)
    strange = [state for state in foreign if not state.may_be_dropped]
    if strange and not shards:
        raise strange[0].error(directory)
    others = shard_keys(directory, store) - shards if shards else set()
    if strange or others:
        return msgspec.structs.replace(
            new,
            foreign_shards=sorted(others),
            foreign_states=[str(state) for state in foreign],
            aside=str(name_aside(directory, now)),
            pruned=[path.name for path in surplus(directory, 1)],
        )
    return Preparation(
        store=str(directory),
        does="delete unclosed rows",
        partitions=len(store.files),
        resume_epoch=store.resume_epoch,
        unclosed_rows=store.rows_from(store.resume_epoch),
        foreign_states=[str(state) for state in foreign],
        states_kept_in=str(name_foreign(directory, now)) if foreign else None,
    )


def _foreign(directory: Path, store: Store) -> list[ForeignState]:
    """Of what Bytewax would load: the rest is read when a rewind makes it that."""
    return list(foreign_states(directory, store, only_loaded=True))


def carry_out(directory: Path, preparation: Preparation, now: datetime) -> Preparation:
    """Do what was planned, on a store that is locked; raise StoreError, OSError, CalledProcessError."""
    if preparation.aside is not None:
        directory.rename(preparation.aside)
        prune_asides(directory)
    if preparation.does == "create":
        _create(directory, preparation.partitions)
        return msgspec.structs.replace(preparation, is_done=True)
    store = read_store(directory)
    if preparation.states_kept_in is not None:
        # Kept before they go: a crash in between leaves them in both places.
        foreign = _foreign(directory, store)
        keep_foreign(Path(preparation.states_kept_in), directory, kept(directory, foreign, now))
        drop_states(store, foreign)
    if preparation.unclosed_rows:
        delete_unclosed(store)
    return msgspec.structs.replace(preparation, is_done=True)


def _create(directory: Path, partitions: int) -> None:
    """All partitions or none: made beside, then renamed.

    By Bytewax in a process of its own, as this one has another SQLite.
    """
    being_made = directory.with_name(f"{directory.name}.new-{os.getpid()}")
    for left_over in directory.parent.glob(f"{directory.name}.new-*"):
        shutil.rmtree(left_over)
    being_made.mkdir(parents=True)
    argv = [sys.executable, "-m", "bytewax.recovery", str(being_made), str(partitions)]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    directory.mkdir(exist_ok=True)
    # Over an empty directory a rename is one step; another would hold someone's files.
    being_made.rename(directory)
