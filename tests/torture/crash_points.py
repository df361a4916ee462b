"""Where a process may be made to end: named places in its code, none of which knows of it.

`inside/sitecustomize.py` wraps these functions in the processes under
torture. A point does nothing until it is armed by a file in the run's folder.
"""

from pathlib import Path
from typing import Literal, NamedTuple

# Read by the process under torture; no settings of the product, which would refuse them.
FOLDER = "TORTURE_FOLDER"
PART = "TORTURE_PART"
SABOTAGE = "TORTURE_SABOTAGE"


class CrashPoint(NamedTuple):
    """Before or after a function of a part; the part's processes carry the name in TORTURE_PART."""

    part: str
    name: str
    module: str
    function: str  # as written in its module, `Class.method` included
    when: Literal["before", "after"]

    @property
    def key(self) -> str:
        return f"{self.part}.{self.name}"


POINTS = (
    CrashPoint("enrich", "within_copy", "storage.simple_query", "_put", "after"),
    CrashPoint("enrich", "before_commit", "storage.append", "append", "before"),
    CrashPoint("enrich", "after_commit", "storage.append", "append", "after"),
    CrashPoint("enrich", "after_redo", "storage.append", "finish", "after"),
    CrashPoint("enrich", "after_lock", "storage.append", "lock_and_look_up", "after"),
    CrashPoint("enrich", "before_stream_append", "storage.streams", "Streams.append", "before"),
    CrashPoint("enrich", "after_stream_append", "storage.streams", "Streams.append", "after"),
    CrashPoint("enrich", "within_snapshot", "sinks.event_log", "_ShardPartition.snapshot", "after"),
    CrashPoint("enrich", "after_taking_a_shard", "storage.append", "take_shard", "after"),
    CrashPoint("enrich", "within_prepare", "storage.recovery_store", "delete_unclosed", "before"),
    CrashPoint("enrich", "within_a_release", "sinks.committer", "release_some", "after"),
    CrashPoint("deliver", "between_top_and_append", "sinks.stream_repair", "StreamRepair._fill", "before"),
    CrashPoint("deliver", "after_stream_append", "storage.streams", "Streams.append", "after"),
    CrashPoint("deliver", "between_redis_and_kafka", "sinks.kafka_outlet", "KafkaOutlet.send", "before"),
    CrashPoint("deliver", "after_sending_to_kafka", "sinks.kafka_outlet", "KafkaOutlet.send", "after"),
    CrashPoint("ingest", "before_produce", "ingest.producer", "RecordProducer.send", "before"),
    CrashPoint("ingest", "after_produce", "ingest.producer", "RecordProducer.send", "after"),
    CrashPoint("gateway", "after_reading_a_pack", "gateway.followers", "Followers.take_pack", "after"),
    CrashPoint("migration", "between_migrations", "storage.migrate", "_apply", "after"),
    CrashPoint("restore", "after_fetching", "recovery.stores.restore", "fetch_store", "after"),
    CrashPoint("restore", "between_the_moves", "recovery.stores.swap", "_exchange", "before"),
    CrashPoint("restore", "after_the_moves", "recovery.stores.swap", "_exchange", "after"),
)
BY_KEY = {point.key: point for point in POINTS}


def arm(folder: Path, point: CrashPoint, passes: int) -> None:
    """Let the next process that comes by die there, after `passes` harmless passes."""
    for name in ("armed", "fired"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "fired" / point.key).unlink(missing_ok=True)
    partial = folder / f"{point.key}.partial"
    partial.write_text(str(passes))
    partial.rename(folder / "armed" / point.key)


def disarm(folder: Path, point: CrashPoint) -> bool:
    """Whether nobody came by until now; from here on nobody dies there."""
    try:
        (folder / "armed" / point.key).unlink()
    except FileNotFoundError:
        return False
    return True


def has_fired(folder: Path, point: CrashPoint) -> bool:
    return (folder / "fired" / point.key).exists()
