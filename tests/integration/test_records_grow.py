"""Records that say more than this release knows: two releases in turn over one log, and a log of before."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import psycopg
import pytest
from confluent_kafka import Producer
from redis import Redis

from local.environment import environment_of
from schemas.legacy import LEGACY_VERSION
from schemas.pack import unpack
from schemas.partitioning import partition_of
from settings import ROOT, Settings
from tests.builders_log import LogBuilder
from tests.event_builders import a_goal, a_pass, encoded
from tests.fixtures.audit_world import whole_log
from tests.fixtures.waiting import eventually

MATCHES = [f"match-{number}" for number in range(4)]
AN_AUDIT = ("-m", "recovery", "audit", "--json", "--settle", "20s")


class Release(NamedTuple):
    """Code of one release, in a folder of its own; both work on the same servers."""

    folder: Path
    settings: Settings

    def start(self, *arguments: str, stop_at_end: bool = False) -> "subprocess.Popen[str]":
        environment = environment_of(self.settings) | {"PATH": os.environ["PATH"]}
        if stop_at_end:
            environment["TOUCHLINE_STOP_AT_END"] = "true"
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def drain(self, store: Path) -> None:
        """Run the lane until it has read everything; its store is handed from release to release."""
        store.mkdir(exist_ok=True)
        arguments = ("-m", "bytewax.run", "dataflows.enrich", "-r", str(store), "-s", "1", "-b", "0")
        with self.start(*arguments, stop_at_end=True) as lane:
            _, errors = lane.communicate(timeout=120)
            assert lane.returncode == 0, errors


@pytest.fixture
def old(installation: Settings) -> Release:
    """This release, which does not know the fields."""
    return Release(ROOT, installation)


@pytest.fixture
def new(installation: Settings, tmp_path: Path) -> Release:
    """The next one: the same code, and a field more in the envelope and in a body."""
    folder = tmp_path / "new"
    folder.mkdir()
    for entry in ROOT.iterdir():
        if entry.name != "schemas" and not entry.name.startswith((".", "tests")):
            (folder / entry.name).symlink_to(entry)
    shutil.copytree(ROOT / "schemas", folder / "schemas", ignore=shutil.ignore_patterns("__pycache__"))
    raw = folder / "schemas" / "raw.py"
    code = raw.read_text()
    for before, field in (
        ("    insert_before: Id | None = None", "    venue: Name | None = None\n"),
        ("    clock: Clock | None = None", "    xg: float | None = None\n"),
    ):
        assert code.count(before) == 1
        code = code.replace(before, field + before)
    raw.write_text(code)
    release = Release(folder, installation)
    with release.start("-c", "from schemas.raw import BroadcastBody; print(BroadcastBody(xg=0.5))") as check:
        assert "xg=0.5" in check.communicate(timeout=60)[0], "the grown code is not what runs"
    return release


def _audit(*releases: Release) -> dict[str, Any]:
    """Audit by each release at once; what the last one found, once all found the same and nothing wrong."""
    running = [release.start(*AN_AUDIT) for release in releases]
    answers = [audit.communicate(timeout=120) for audit in running]
    for output, errors in answers:
        receipt: dict[str, Any] = json.loads(output or "{}")
        assert receipt.get("verdict") == "clean", (receipt.get("differences"), errors)
    return receipt


def _grown(turn: int, number: int) -> dict[str, Any]:
    """A record that says more: some of it the next release knows, some of it no release does."""
    match = MATCHES[number % len(MATCHES)]
    event = a_goal if number % 10 == 0 else a_pass
    record = json.loads(encoded(event(f"e{turn}-{number}", match=match)))
    record["body"] |= {"xg": number / 8, "freeze_frame": [{"x": 1.0, "y": None}, [turn]]}
    return {**record, "venue": f"Stadium {turn}", "vendor": {"id": number, "b": "ü", "a": 1e-7}}


def _respelt(record: dict[str, Any]) -> bytes:
    """The same record from another serializer: other order, spaces, escapes and numbers."""
    turned = {name: record[name] for name in reversed(record)}
    turned["vendor"] = {**record["vendor"], "id": float(record["vendor"]["id"])}
    return json.dumps(turned, indent=1, sort_keys=len(record["source_event_id"]) % 2 == 0).encode()


def _produce(settings: Settings, records: Sequence[tuple[str, bytes]]) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka, "enable.idempotence": True, "log_level": 2})
    for match, value in records:
        partition = partition_of(match, settings.shards)
        producer.produce(f"{settings.topic_prefix}broadcast-events", value, match.encode(), partition)
    producer.flush(30)


def _streamed(settings: Settings) -> list[Any]:
    """Every live event in Redis, as what a gateway sends."""
    with Redis.from_url(settings.redis) as redis:
        entries = [entry for key in redis.scan_iter("ev:*") for entry in redis.xrange(key)]
    return [json.loads(payload) for _, fields in entries for payload in unpack(fields[b"e"])]


def _letters(settings: Settings) -> list[tuple[str, str]]:
    with closing(psycopg.connect(settings.postgres)) as connection:
        return connection.execute("SELECT reason, detail FROM dead_letters ORDER BY letter").fetchall()


def test_two_releases_take_turns_over_one_log(
    old: Release, new: Release, installation: Settings, tmp_path: Path
) -> None:
    """Forwards and back, twice: no record changes its identity, and fans get every field each time."""
    sent: list[dict[str, Any]] = []
    repeats = 0
    for turn, release in enumerate((old, new, old, new, old)):
        fresh = [_grown(turn, number) for number in range(120)]
        again = [(record["match"], _respelt(record)) for record in (*sent, *fresh[:40])]
        _produce(installation, [(r["match"], json.dumps(r).encode()) for r in fresh] + again)
        sent += fresh
        repeats += len(again)
        release.drain(tmp_path / "store")
        compared = _audit(old, new)["compared"]
        assert (compared["events"], compared["repeats"]) == (len(sent), repeats)
        assert _letters(installation) == []
    said = {live["event"]["source_event_id"]: live["event"] for live in _streamed(installation)}
    for record in sent:
        got = said[record["source_event_id"]]
        assert (got["venue"], got["vendor"]) == (record["venue"], record["vendor"])
        assert got["body"]["xg"] == record["body"]["xg"]
        assert got["body"]["freeze_frame"][0] == {"x": 1}


class Load:
    """Sends grown records all the time, each of them again later and spelt otherwise."""

    def __init__(self, settings: Settings) -> None:
        self.sent: list[dict[str, Any]] = []
        self._settings = settings
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _send(self) -> None:
        turn = 0
        while not self._is_over.wait(0.05):
            fresh = [_grown(turn, number) for number in range(20)]
            again = [(r["match"], _respelt(r)) for r in (*self.sent[-20:], *fresh[:5])]
            _produce(self._settings, [(r["match"], json.dumps(r).encode()) for r in fresh] + again)
            self.sent += fresh
            turn += 1


def test_two_releases_hand_over_to_each_other_under_load(
    old: Release, new: Release, installation: Settings, tmp_path: Path
) -> None:
    """Forwards and back, twice, while records come in: each lane goes on where the other one stopped."""
    store = tmp_path / "store"
    store.mkdir()
    arguments = ("-m", "bytewax.run", "dataflows.enrich", "-r", str(store), "-s", "1", "-b", "0")
    with Load(installation) as load:
        for release in (old, new, old, new, old):
            before = _rows(installation)
            with release.start(*arguments) as lane:
                eventually(partial(_has_grown, installation, before + 100), timedelta(seconds=60))
                assert _audit(old, new)["compared"]["dead_letters"] == 0
                lane.terminate()
                _, errors = lane.communicate(timeout=60)
                assert lane.returncode == 0, errors
    old.drain(store)
    assert _audit(old, new)["compared"]["events"] == len(load.sent)
    assert {live["event"]["source_event_id"] for live in _streamed(installation)} >= {
        record["source_event_id"] for record in load.sent[:100]
    }


def _has_grown(settings: Settings, rows: int) -> bool:
    return _rows(settings) > rows


def _rows(settings: Settings) -> int:
    with closing(psycopg.connect(settings.postgres)) as connection:
        row = connection.execute("SELECT count(*) FROM events").fetchone()
        assert row is not None
        return int(row[0])


def test_a_field_that_differs_is_a_conflict_for_every_release(
    old: Release, new: Release, installation: Settings, tmp_path: Path
) -> None:
    """Whether a release knows the field or not: else their logs and audits would disagree."""
    record = _grown(0, 0)
    other = record | {"body": record["body"] | {"xg": 0.99}}
    values = [(record["match"], json.dumps(said).encode()) for said in (record, other)]
    _produce(installation, values)
    old.drain(tmp_path / "store")
    _produce(installation, values)
    new.drain(tmp_path / "store")
    compared = _audit(old, new)["compared"]
    assert (compared["events"], compared["repeats"], compared["dead_letters"]) == (1, 1, 2)
    assert {reason for reason, _ in _letters(installation)} == {"conflicting_duplicate"}


def test_a_log_of_before_stays_clean_and_knows_its_repeats(
    old: Release, new: Release, installation: Settings, tmp_path: Path
) -> None:
    """Rows whose hash was of the fields known then: verified that way, and compared that way for ever."""
    records = whole_log()
    builder = LogBuilder(installation, LEGACY_VERSION)
    builder.deliver(records)
    builder.write()
    before = _audit(old, new)["compared"]
    facts = [record.event for record in records if record.event is not None and record.partition is None]
    said = [json.loads(encoded(event)) for event in facts if event.match.startswith(("home", "away"))]
    goals = [record for record in said if record["type"] == "goal"]
    grown = [record | {"body": record["body"] | {"xg": 0.5}} for record in goals]
    _produce(installation, [(record["match"], json.dumps(record, indent=1).encode()) for record in grown])
    new.drain(tmp_path / "store")
    after = _audit(old, new)["compared"]
    assert after["events"] == before["events"]
    # Of the goals one was said in two ways, and is refused once more.
    assert after["dead_letters"] - before["dead_letters"] == 1
    assert after["repeats"] - before["repeats"] == len(grown) - 1
