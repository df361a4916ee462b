"""What `inspect` says of a store, without how it is shown."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from recovery.stores.looks import KafkaLook, LogLook, Unknown
from storage.recovery_store import Store, read_store
from storage.store_contents import Contents, Place, StepSize, age_seconds, lag, read_contents
from storage.store_errors import StoreError


class StoreReport(msgspec.Struct, kw_only=True, tag="sound"):
    """A store that can be read."""

    name: str
    path: str
    partitions: int
    execution: int | None  # None: no dataflow has run on it
    workers: int
    resume_epoch: int
    oldest_epoch: int  # `rewind` can go back so far
    rows: int
    unclosed_rows: int
    age_seconds: float | None
    steps: list[StepSize]
    offsets: dict[str, dict[str, int]]
    places: dict[str, Place]
    records_behind_kafka: int | None  # None: Kafka did not answer
    events_behind_log: int | None
    ahead_of_log: list[str]  # shards whose log lost history that the store knows


class StoreProblem(msgspec.Struct, kw_only=True, tag="unfit"):
    """A store that cannot be used, and why."""

    name: str
    path: str
    error: str  # the error's name
    reason: str
    remedy: str


class Inspection(msgspec.Struct, kw_only=True):
    """All stores that were asked for."""

    stores: list[StoreReport | StoreProblem]
    kafka: str  # "" when it answered, else why not
    postgres: str

    @property
    def is_sound(self) -> bool:
        return all(isinstance(store, StoreReport) for store in self.stores)


class _Read(NamedTuple):
    path: Path
    store: Store
    contents: Contents


def inspect_stores(
    paths: list[Path],
    look: Callable[[], tuple[KafkaLook | Unknown, LogLook | Unknown]],
    now: datetime,
    done: Callable[[], None],
) -> Inspection:
    """Read each store; one that cannot be used is reported and the others go on.

    `look` comes last: a lane at work moves its store on, and a store that was
    read behind the log would seem to know what the log has lost.
    """
    read: list[_Read | StoreProblem] = []
    for path in paths:
        try:
            store = read_store(path, check=True)
            read.append(_Read(path, store, read_contents(path, store)))
        except StoreError as error:
            read.append(problem(path, error))
        done()
    kafka, log = look()
    return Inspection(
        stores=[one if isinstance(one, StoreProblem) else _report(one, kafka, log, now) for one in read],
        kafka=kafka.reason if isinstance(kafka, Unknown) else "",
        postgres=log.reason if isinstance(log, Unknown) else "",
    )


def problem(path: Path, error: StoreError) -> StoreProblem:
    """What is said of a store that cannot be used."""
    return StoreProblem(
        name=ascii(path.name)[1:-1],
        path=ascii(str(path))[1:-1],
        error=type(error).__name__,
        reason=error.reason,
        remedy=error.remedy,
    )


def _report(read: _Read, kafka: KafkaLook | Unknown, log: LogLook | Unknown, now: datetime) -> StoreReport:
    path, store, contents = read
    return StoreReport(
        name=path.name,
        path=str(path),
        partitions=len(store.files),
        execution=store.last.number if store.last else None,
        workers=store.last.workers if store.last else 0,
        resume_epoch=store.resume_epoch,
        oldest_epoch=store.oldest_epoch,
        rows=contents.rows,
        unclosed_rows=contents.unclosed_rows,
        age_seconds=age_seconds(contents, now),
        steps=contents.steps,
        offsets=contents.offsets,
        places=contents.places,
        records_behind_kafka=None if isinstance(kafka, Unknown) else lag(contents.offsets, kafka.ends),
        events_behind_log=None if isinstance(log, Unknown) else _behind(contents.places, log),
        ahead_of_log=[] if isinstance(log, Unknown) else ahead(contents.places, log),
    )


def _behind(places: dict[str, Place], log: LogLook) -> int:
    """Events in the log that the store's sink had not appended yet."""
    return sum(
        max(0, log.heads.get(int(shard), 0) - place.position)
        for shard, place in places.items()
        if shard.isdecimal()
    )


def ahead(places: dict[str, Place], log: LogLook) -> list[str]:
    """Shards whose log ends before a place that the store knows."""
    return [
        shard
        for shard, place in places.items()
        if shard.isdecimal() and place.position > log.heads.get(int(shard), 0)
    ]
