"""Recovery stores while lanes run, are killed and lose their disk: back up, restore, rewind, run on."""

import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec
import psycopg
import pytest
from confluent_kafka import Producer

from recovery.audit.meter import Silence
from recovery.backup import command as backup
from recovery.backup.create import create
from recovery.backup.manifest import Manifest, decode_manifest
from recovery.backup.place import BackupPlace
from recovery.backup.selection import moment_of_match
from recovery.prepare import prepare_in_child
from recovery.stores.inspect_command import inspect
from recovery.stores.looks import KafkaLook, LogLook
from recovery.stores.restore_command import restore, rewind
from schemas.partitioning import partition_of
from settings import ROOT, Settings
from storage.recovery_store import read_store
from storage.store_contents import read_contents
from tests.event_builders import a_pass, encoded
from tests.fixtures.audit_world import HOME, World
from tests.fixtures.recovery_commands import Call, recovery_environment, run_recovery
from tests.fixtures.recovery_stores import MakeStore, fill, run_sql
from tests.fixtures.waiting import eventually
from tests.free_ports import a_free_base

LONG = timedelta(seconds=60)
LANE = ("-s", "1", "-b", "30")


def produce(settings: Settings, first: int, count: int) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka, "enable.idempotence": True, "log_level": 2})
    for number in range(first, first + count):
        match = f"match-{number % 6}"
        value = encoded(a_pass(f"p{number}", match=match))
        topic = f"{settings.topic_prefix}broadcast-events"
        producer.produce(topic, value, match.encode(), partition_of(match, settings.shards))
    producer.flush(30)


def rows(settings: Settings) -> int:
    with closing(psycopg.connect(settings.postgres)) as connection:
        row = connection.execute("SELECT count(*) FROM events").fetchone()
        assert row is not None
        return int(row[0])


def store_of(settings: Settings) -> Path:
    return settings.data / "recovery" / "enrich-0"


@contextmanager
def a_lane(settings: Settings) -> Iterator["subprocess.Popen[bytes]"]:
    """A lane on the installation's store, killed in the end."""
    argv = [sys.executable, "-m", "bytewax.run", "dataflows.enrich", "-r", str(store_of(settings)), *LANE]
    lane = subprocess.Popen(argv, cwd=ROOT, env=recovery_environment(settings))
    try:
        yield lane
    finally:
        lane.send_signal(signal.SIGKILL)
        lane.wait()


def snapshots_of_reading(settings: Settings) -> int:
    """How many records the newest snapshot says were read."""
    store = store_of(settings)
    if not any(store.glob("*.sqlite3")):
        return 0
    offsets = read_contents(store, read_store(store)).offsets
    return sum(offset for topics in offsets.values() for offset in topics.values())


def test_backup_under_load_brings_a_lost_store_back(installation: Settings, called: Call) -> None:
    """A copy is taken while the lane writes; the disk is lost; the lane goes on from the copy."""
    produce(installation, 0, 4_000)
    with a_lane(installation):
        eventually(lambda: snapshots_of_reading(installation) > 0, LONG)
        produce(installation, 4_000, 4_000)
        made = called(installation, backup.create, json=True)
        assert made.status == 0, made.err
        manifest = msgspec.json.decode(made.out, type=Manifest)
        assert called(installation, restore).status == 1
        assert "StoreInUseError" in called(installation, restore).err
        assert "StoreInUseError" in called(installation, rewind, "enrich-0", to_oldest=True).err
        for dry in (
            called(installation, restore, dry_run=True),
            called(installation, rewind, "enrich-0", to_oldest=True, dry_run=True),
        ):
            assert (dry.status, "StoreInUseError" in dry.err) == (1, True)
        looked = called(installation, inspect, json=True)
        assert looked.status == 0
        eventually(lambda: rows(installation) == 8_000, LONG)
    [report] = looked.json["stores"]
    assert {step["step"] for step in report["steps"]} == {"enrich.read", "enrich.dedupe", "enrich.append"}
    assert report["ahead_of_log"] == []
    assert isinstance(manifest.kafka, KafkaLook)
    assert isinstance(manifest.log, LogLook)
    [entry] = manifest.stores
    for shard, topics in entry.offsets.items():
        for topic, offset in topics.items():
            assert offset <= manifest.kafka.ends[topic, int(shard)]
    # A shard that is read has a place only once something of it was appended.
    assert entry.places
    for shard, place in entry.places.items():
        assert place.position <= manifest.log.heads[int(shard)]

    shutil.rmtree(store_of(installation))
    dry = called(installation, restore, dry_run=True)
    assert dry.status == 0
    assert "records came to Kafka since the backup" in dry.err
    assert not store_of(installation).exists()
    done = called(installation, restore, json=True)
    assert done.status == 0, done.err
    assert done.json["puts"][0]["aside"] is None
    assert read_store(store_of(installation), check=True).resume_epoch == entry.resume_epoch
    produce(installation, 8_000, 1_000)
    with a_lane(installation):
        eventually(lambda: rows(installation) == 9_000, LONG)


def test_a_lane_starts_without_a_state_that_would_run_something(
    installation: Settings, tmp_path: Path
) -> None:
    """And reads on where the log says."""
    produce(installation, 0, 500)
    with a_lane(installation):
        eventually(lambda: snapshots_of_reading(installation) == 500, LONG)
    store = store_of(installation)
    ran = tmp_path / "ran"
    for file in store.glob("*.sqlite3"):
        hostile = f"cos\nsystem\n(S'touch {ran}'\ntR.".encode()
        run_sql(file, "UPDATE snaps SET ser_change = ? WHERE ser_change IS NOT NULL", hostile)
    produce(installation, 500, 500)
    with a_lane(installation):
        eventually(lambda: rows(installation) == 1_000, LONG)
    assert not ran.exists()
    assert len(list(store.parent.glob(f"{store.name}.foreign-*"))) == 1


def test_a_rewound_store_is_gone_on_from_without_loss(installation: Settings, called: Call) -> None:
    with a_lane(installation):
        produce(installation, 0, 1_000)
        eventually(lambda: snapshots_of_reading(installation) == 1_000, LONG)
        produce(installation, 1_000, 1_000)
        eventually(lambda: snapshots_of_reading(installation) == 2_000, LONG)
    before = read_store(store_of(installation))
    assert before.oldest_epoch < before.resume_epoch
    shown = called(installation, rewind, "enrich-0")
    assert f"any from {before.oldest_epoch} on" in shown.err.replace("\n", " ")
    assert called(installation, rewind, "enrich-0", to_epoch=before.resume_epoch + 1).status == 1
    done = called(installation, rewind, "enrich-0", to_oldest=True, json=True)
    assert done.status == 0, done.err
    assert read_store(store_of(installation)).resume_epoch == before.oldest_epoch
    assert read_store(Path(done.json["aside"])).resume_epoch == before.resume_epoch
    produce(installation, 2_000, 100)
    with a_lane(installation):
        eventually(lambda: snapshots_of_reading(installation) == 2_100, LONG)
    assert rows(installation) == 2_100


def test_a_match_clock_leads_to_the_backup_before_it(
    world: World, make_store: MakeStore, called: Call, tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(world.settings, data=tmp_path)
    fill(make_store(tmp_path / "recovery" / "enrich-0"))
    moment = moment_of_match(settings.postgres, HOME, "05:00")
    row = world.database.execute(
        "SELECT min(appended_at) FROM events WHERE match = %s AND seq >= 8", (HOME,)
    ).fetchone()
    assert row == (moment,)
    place = BackupPlace(settings.backup_place)
    before = create(settings, place, lambda: moment - timedelta(seconds=5), Silence(), check=False)
    create(settings, place, lambda: moment + timedelta(seconds=5), Silence(), check=False)
    chosen = called(settings, restore, match=HOME, at="05:00", dry_run=True, json=True)
    assert chosen.json["backup"] == before.name
    assert (
        called(settings, restore, as_of=moment.isoformat(), dry_run=True, json=True).json["backup"]
        == before.name
    )
    nobodys = called(settings, restore, as_of="2001-01-01", json=True)
    assert (nobodys.status, nobodys.json["error"]) == (2, "UnreadableMomentError")
    long_ago = called(settings, restore, as_of="2001-01-01T00:00:00Z", json=True)
    assert (long_ago.status, long_ago.json["error"]) == (1, "NoBackupBeforeError")
    never = called(settings, restore, match=HOME, at="119:00", json=True)
    assert (never.status, never.json["error"]) == (1, "MatchClockError")


def test_a_server_that_is_away_is_said_to_be_unknown(
    installation: Settings, make_store: MakeStore, called: Call
) -> None:
    fill(make_store(store_of(installation)))
    nowhere = f"127.0.0.1:{installation.port('simulator')}"
    away = msgspec.structs.replace(
        installation, kafka=nowhere, postgres=f"postgresql://touchline@{nowhere}/touchline"
    )
    looked = called(away, inspect, json=True)
    assert looked.status == 0
    assert nowhere in looked.json["kafka"]
    assert nowhere in looked.json["postgres"]
    assert looked.json["stores"][0]["records_behind_kafka"] is None


_RESTORES = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from recovery.audit.meter import Silence
from recovery.backup.place import BackupPlace
from recovery.stores.restore import restore
place, folder, ready = BackupPlace(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
manifests = [place.manifest(name) for name in sys.argv[4:]]
while True:
    for manifest in manifests:
        restore(place, manifest, (), folder, datetime.now(UTC), Silence())
        ready.touch()
"""


def test_a_restore_that_is_killed_leaves_the_old_store_or_the_new_one(
    installation: Settings, make_store: MakeStore, tmp_path: Path
) -> None:
    """Two backups are restored in turn, without an end but SIGKILL at any moment."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    place = BackupPlace(installation.backup_place)
    store, names, epochs = store_of(installation), [], {4, 9}
    for ends in sorted(epochs):
        shutil.rmtree(store, ignore_errors=True)
        fill(make_store(store), range(1, ends))
        names.append(create(installation, place, lambda: datetime.now(UTC), Silence()).name)
    ready = tmp_path / "ready"
    argv = [sys.executable, "-c", _RESTORES, place.url, str(store.parent), str(ready), *names]
    for _ in range(6):
        ready.unlink(missing_ok=True)
        child = subprocess.Popen(argv, cwd=ROOT)
        try:
            eventually(ready.exists)
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(chance.uniform(0, 0.03))
        finally:
            child.kill()
            child.wait()
        assert read_store(store, check=True).resume_epoch in epochs
        for aside in store.parent.glob("enrich-0.before-*"):
            assert read_store(aside, check=True).resume_epoch in epochs
            shutil.rmtree(aside)


@pytest.fixture
def s3(tmp_path: Path, stack: Settings) -> Iterator[dict[str, str]]:
    """An S3 with conditional writes, and what a client needs to know of it."""
    port = a_free_base() + 1
    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (tmp_path / "s3.log").open("wb") as log:
        server = subprocess.Popen(argv, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
    try:
        eventually(lambda: _answers(url), timedelta(seconds=30))
        assert httpx.put(f"{url}/touchline").status_code == 200
        yield keys | {"AWS_ENDPOINT_URL": url, "AWS_ALLOW_HTTP": "true"}
    finally:
        server.terminate()
        server.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code < 500
    except httpx.TransportError:
        return False


def test_backups_live_in_s3_as_in_a_folder(
    installation: Settings,
    make_store: MakeStore,
    s3: dict[str, str],
    called: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(make_store(store_of(installation)))
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    settings = msgspec.structs.replace(installation, backup="s3://touchline/copies")
    first = called(settings, backup.create, json=True)
    assert first.status == 0, first.err
    manifest = decode_manifest(first.json["name"], first.out.encode())
    place = BackupPlace(settings.backup_place)
    with pytest.raises(Exception, match="there already"):
        place.put_manifest(manifest)
    second = called(settings, backup.create, json=True).json["name"]
    both = sorted([manifest.name, second])  # of one second, so chance says which is the newer one
    assert [line["name"] for line in called(settings, backup.list_backups, json=True).json] == both
    assert called(settings, backup.verify, all=True).status == 0
    elsewhere = msgspec.structs.replace(settings, backup="s3://touchline/nothing-yet")
    assert called(elsewhere, backup.verify, all=True).status == 1
    shutil.rmtree(store_of(settings))
    assert called(settings, restore).status == 0
    assert read_store(store_of(settings), check=True).resume_epoch == 4
    assert called(settings, backup.prune, keep=1).status == 0
    assert [listed.name for listed in place.listed()] == both[1:]


def test_the_schedule_outlives_a_damaged_store_and_stops_when_asked(
    installation: Settings, make_store: MakeStore
) -> None:
    fill(make_store(store_of(installation)))
    broken = store_of(installation).with_name("enrich-1")
    broken.mkdir()
    (broken / "part-0.sqlite3").write_bytes(b"no database")
    log = installation.data / "backup.log"
    argv = [sys.executable, "-m", "recovery", "backup", "run", "--every", "1s", "--keep", "2"]
    with log.open("wb") as output:
        process = subprocess.Popen(argv, cwd=ROOT, env=recovery_environment(installation), stderr=output)
    try:
        eventually(lambda: "backup.failed" in log.read_text(), LONG)
        assert "StoreDamagedError" in log.read_text()
        shutil.rmtree(broken)
        eventually(lambda: log.read_text().count("backup.created") >= 3, LONG)
        eventually(lambda: "backup.pruned" in log.read_text(), LONG)
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0
    said = log.read_text()
    assert "backup.stopped" in said
    assert "Traceback" not in said
    assert len(BackupPlace(installation.backup_place).listed()) == 2


def test_the_commands_run_from_a_shell(installation: Settings, make_store: MakeStore) -> None:
    """Registered, lazy, and silent about warnings."""
    fill(make_store(store_of(installation)))
    made = run_recovery(installation, "backup", "create", "--json")
    assert made.status == 0, made.err
    assert BackupPlace(installation.backup_place).manifest(made.json["name"]).store_names == ["enrich-0"]


def test_a_store_of_other_shards_is_put_aside_and_a_new_one_made(
    make_store: MakeStore, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Swapped between lanes, Bytewax would end each start on it; a lane can do without."""
    store = make_store(tmp_path / "enrich-0")
    fill(store)
    prepare_in_child(store, keys=["000", "002"]).release()
    assert read_store(store).resume_epoch > 1
    prepare_in_child(store, keys=["001", "003"]).release()
    assert read_store(store).resume_epoch == 1
    (aside,) = tmp_path.glob("enrich-0.before-*")
    assert read_store(aside).resume_epoch > 1
    assert "holds the shards 000, which are not this lane's" in capfd.readouterr().err
