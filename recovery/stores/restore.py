"""Put the stores of a backup back, and take a store back to an earlier point of its own."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from recovery.audit.meter import Meter
from recovery.backup.errors import StoreNotInBackupError
from recovery.backup.manifest import Manifest, StoreEntry
from recovery.backup.place import BackupPlace
from recovery.backup.verify import fetch_store
from recovery.prepare import hold_store
from recovery.signatures import Standing
from recovery.stores.asides import name_aside, prune_asides, surplus
from recovery.stores.inspection import ahead
from recovery.stores.looks import KafkaLook, LogLook, Unknown, look_at_kafka, look_at_log
from recovery.stores.swap import being_made, left_over, swap_in
from settings import Settings
from storage.recovery_store import read_store
from storage.store_contents import lag
from storage.store_copy import copy_whole, take_back
from storage.store_errors import printable

# What one lane reads on this machine's class while everything else runs (docs/decisions/0005).
RECORDS_PER_SECOND = 50_000


class Put(msgspec.Struct, frozen=True, kw_only=True):
    """One store that is put back."""

    store: str
    path: str
    resume_epoch: int
    aside: str | None  # where the old one goes; None: there is none
    pruned: list[str] = []  # older ones that were put aside, and go


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a lane has to do after a restore."""

    records_since: int | None  # between the backup's offsets and Kafka's ends; None: unknown
    records_to_read: int | None  # between what the log has read and Kafka's ends: what a lane of enrich reads
    seconds: float | None
    remarks: list[str]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore does, said before it does it."""

    backup: str
    cut_at: datetime
    puts: list[Put]
    cost: Cost
    signature: Standing  # how far the backup's manifest is proven
    is_done: bool = False


def plan_restore(
    settings: Settings,
    manifest: Manifest,
    standing: Standing,
    only: Sequence[str],
    folder: Path,
    now: datetime,
) -> Plan:
    """Say what would be done; raise StoreNotInBackupError."""
    entries = _entries(manifest, only)
    puts = []
    for entry in entries:
        path = folder / entry.name
        puts.append(plan_put(path, entry.resume_epoch, now))
    cost = _cost(manifest, entries, look_at_kafka(settings), look_at_log(settings))
    return Plan(backup=manifest.name, cut_at=manifest.cut_at, puts=puts, cost=cost, signature=standing)


def plan_put(path: Path, resume_epoch: int, now: datetime) -> Put:
    """Say where the store that is there goes, and which of those put aside before go for it."""
    aside, pruned = (name_aside(path, now), surplus(path, 1)) if path.exists() else (None, [])
    return Put(
        store=path.name,
        path=str(path),
        resume_epoch=resume_epoch,
        aside=str(aside) if aside else None,
        pruned=[str(gone) for gone in pruned],
    )


def _put(made: Path, path: Path, resume_epoch: int, now: datetime) -> Put:
    aside = swap_in(made, path, name_aside(path, now))
    return Put(
        store=path.name,
        path=str(path),
        resume_epoch=resume_epoch,
        aside=str(aside) if aside else None,
        pruned=[str(gone) for gone in prune_asides(path)],
    )


def _entries(manifest: Manifest, only: Sequence[str]) -> list[StoreEntry]:
    for name in only:
        if name not in manifest.store_names:
            raise StoreNotInBackupError(manifest.name, name, manifest.store_names)
    return [entry for entry in manifest.stores if not only or entry.name in only]


def _cost(
    manifest: Manifest, entries: Sequence[StoreEntry], kafka: KafkaLook | Unknown, log: LogLook | Unknown
) -> Cost:
    offsets = {shard: topics for entry in entries for shard, topics in entry.offsets.items()}
    remarks = [look.reason for look in (kafka, log) if isinstance(look, Unknown)]
    since = to_read = seconds = None
    if isinstance(kafka, KafkaLook):
        since = lag(offsets, kafka.ends)
        remarks += _other_lives(manifest, kafka)
        if isinstance(log, LogLook):
            to_read = lag({shard: read for shard, read in log.read.items() if shard in offsets}, kafka.ends)
            seconds = round(to_read / RECORDS_PER_SECOND, 1)
    if isinstance(log, LogLook):
        for entry in entries:
            for shard in ahead(entry.places, log):
                remarks.append(
                    f"shard {shard} of the backup is ahead of the log: the log lost history, and the lane"
                    " will begin a new generation of it"
                )
    return Cost(records_since=since, records_to_read=to_read, seconds=seconds, remarks=remarks)


def _other_lives(manifest: Manifest, kafka: KafkaLook) -> Iterator[str]:
    """Offsets of another cluster or of a topic's earlier life mean nothing here."""
    if not isinstance(manifest.kafka, KafkaLook):
        return
    if manifest.kafka.cluster_id != kafka.cluster_id:
        theirs = printable(manifest.kafka.cluster_id)
        yield f"the backup is of Kafka cluster {theirs:.80}, this one is {kafka.cluster_id}"
        return
    lives = {topic.topic: topic.topic_id for topic in manifest.kafka.topics}
    for topic in kafka.topics:
        if lives.get(topic.topic, topic.topic_id) != topic.topic_id:
            yield f"topic {topic.topic} was made anew since the backup: the lane will stop and say so"


@contextmanager
def holding(paths: Sequence[Path]) -> Iterator[None]:
    """Keep every lane away from these stores; raise StoreInUseError when one has a store."""
    with ExitStack() as held:
        for path in paths:
            held.callback(hold_store(path).release)
        for path in paths:
            for rest in left_over(path):
                shutil.rmtree(rest)
        yield


def restore(
    place: BackupPlace, manifest: Manifest, only: Sequence[str], folder: Path, now: datetime, meter: Meter
) -> list[Put]:
    """Put the stores back, each in one step; the old ones stay aside.

    All are fetched and checked before the first is put in its place. A crash
    leaves each store the old one or the new one. Raises StoreInUseError and
    what `verify` raises; then nothing has changed.
    """
    entries = _entries(manifest, only)
    paths = [folder / entry.name for entry in entries]
    done: list[Put] = []
    with holding(paths):
        meter.begin("restoring", 2 * len(entries))
        try:
            for entry, path in zip(entries, paths, strict=True):
                fetch_store(place, manifest, entry, being_made(path))
                meter.advance(1)
            for entry, path in zip(entries, paths, strict=True):
                done.append(_put(being_made(path), path, entry.resume_epoch, now))
                meter.advance(1)
        finally:
            for path in paths:
                shutil.rmtree(being_made(path), ignore_errors=True)
    return done


def rewind(path: Path, epoch: int, now: datetime) -> Put:
    """Make a store resume at an earlier flow epoch that it still has; the store as it was stays aside.

    Raises StoreInUseError, PointGoneError or another StoreError; then
    nothing has changed. A crash leaves the store as it was or rewound.
    """
    with holding([path]):
        made = being_made(path)
        try:
            store = copy_whole(read_store(path, check=True), path, made)
            take_back(store, epoch)
            return _put(made, path, epoch, now)
        finally:
            shutil.rmtree(made, ignore_errors=True)
