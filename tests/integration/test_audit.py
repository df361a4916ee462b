"""The audit on real servers: what a whole log, its ledger and its command line say."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]

from local.environment import environment_of
from recovery.audit.run import Asked
from recovery.audit.servers import CannotRunError
from schemas.fold import FOLD_VERSION
from schemas.image import goal_timeline
from schemas.raw import source_of
from settings import ROOT, Settings
from tests.builders_log import Record
from tests.event_builders import a_goal, a_pass
from tests.fixtures.audit_world import AWAY, HOME, MALFORMED, SHARDS, World
from tests.fixtures.waiting import eventually

Line = dict[str, object]
MALFORMED_64 = base64.b64encode(MALFORMED).decode()


def test_whole_log_is_clean_and_every_record_is_counted(world: World) -> None:
    receipt = world.audit()
    assert receipt.difference_counts == {}
    assert receipt.verdict == "clean"
    assert receipt.compared.kafka_records == len(world.records)
    assert receipt.compared.events == receipt.compared.streamed == 2 * 27
    assert receipt.compared.repeats == 4
    assert receipt.compared.dead_letters == 4
    assert receipt.compared.images > 8
    assert all(topic.is_complete for topic in receipt.topics)
    assert {m.match: (m.score.home, m.score.away, m.seq) for m in receipt.matches} == {
        HOME: (0, 1, 27),
        AWAY: (0, 1, 27),
    }
    heads = world.database.execute("SELECT shard, max(position) FROM events GROUP BY shard").fetchall()
    assert {(shard.shard, shard.head) for shard in receipt.shards} == set(heads)


def test_record_that_was_never_read_is_found(own_world: World) -> None:
    (origin,) = own_world.builder.produce([Record(a_pass("never-read", match=HOME))])
    receipt = own_world.audit()
    assert receipt.difference_counts == {"unread": 1, "sum": 1}
    assert receipt.differences[0].where.endswith(f"broadcast-events[0]@{origin.offset}")
    assert "never-read" in receipt.differences[0].expected
    assert receipt.differences[0].match == HOME


def _write_ledger(world: World, path: Path) -> list[Line]:
    """What a sender that sent the world would have written down."""
    lines: list[Line] = []
    for record in world.records[:-4]:
        event = record.event
        assert event is not None
        identity = {
            "match": event.match,
            "source": source_of(event),
            "source_event_id": event.source_event_id,
            "revision": event.revision,
        }
        line: Line = {"kind": "record", **identity}
        if line not in lines:
            lines.append(line)
    count = len(lines)
    lines += [
        {"kind": "conflict", "match": HOME, "source": "broadcast", "source_event_id": "g1", "revision": 0},
        {"kind": "malformed", "source": "sensors", "original_b64": MALFORMED_64},
        {"kind": "refused", "source": "sensors", "reason": "malformed_json", "original_b64": "Pz8="},
    ]
    for match in (HOME, AWAY):
        image = world.builder.image(match)
        score = {"home": image.score.home, "away": image.score.away}
        goals = [goal.id for goal in goal_timeline(image)]
        lines.append({"kind": "final", "match": match, "score": score, "goals": goals})
    lines += [{"kind": "day", "day": 0}, {"kind": "end", "records": count, "conflicts": 1, "malformed": 1}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lines


def test_ledger_that_agrees_is_clean(world: World, tmp_path: Path) -> None:
    _write_ledger(world, tmp_path / "ledger.jsonl")
    receipt = world.audit(Asked(ledger=tmp_path / "ledger.jsonl"))
    assert receipt.difference_counts == {}
    assert receipt.ledger is not None
    assert receipt.ledger.is_complete
    assert receipt.ledger.records == receipt.ledger.records_found == 2 * 27
    assert receipt.ledger.conflicts_found == receipt.ledger.malformed_found == 1
    assert receipt.ledger.finals_equal == 2


IDENTITY: Line = {"match": HOME, "source": "broadcast", "source_event_id": "never-came", "revision": 0}
NEVER_CAME: Line = {"kind": "record", **IDENTITY}
NO_CONFLICT: Line = {"kind": "conflict", **IDENTITY, "source_event_id": "p1"}
NOT_REFUSED: Line = {"kind": "malformed", "source": "social", "original_b64": base64.b64encode(b"?").decode()}

LEDGER_DAMAGES: dict[str, tuple[Callable[[list[Line]], object], str, str]] = {
    "a record that never came": (lambda lines: lines.insert(0, NEVER_CAME), "ledger_event", "never-came"),
    "a conflict that was none": (lambda lines: lines.insert(0, NO_CONFLICT), "ledger_letter", "p1"),
    "a malformed record that was lost": (
        lambda lines: lines.insert(0, NOT_REFUSED),
        "ledger_letter",
        "malformed",
    ),
    "a refused record that is visible": (
        lambda lines: lines.insert(0, {"kind": "refused", "source": "sensors", "original_b64": MALFORMED_64}),
        "ledger_refused",
        "refused",
    ),
    "an event nobody sent": (lambda lines: lines.pop(3), "ledger_extra", "only what the ledger has"),
    "another final score": (
        lambda lines: lines[-3].update(score={"home": 9, "away": 9}),
        "ledger_final",
        "9-9",
    ),
    "a ledger that lost a line": (lambda lines: lines.pop(0), "ledger_count", "54 records"),
}


@pytest.mark.parametrize("damage", LEDGER_DAMAGES, ids=lambda name: name.replace(" ", "-"))
def test_ledger_that_differs_is_told(world: World, tmp_path: Path, damage: str) -> None:
    change, kind, expected = LEDGER_DAMAGES[damage]
    file = tmp_path / "ledger.jsonl"
    lines = _write_ledger(world, file)
    change(lines)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    receipt = world.audit(Asked(ledger=file))
    told = [difference for difference in receipt.differences if difference.what == kind]
    assert len(told) == 1
    assert expected in told[0].expected


def test_one_match_alone_leaves_out_what_differs_in_others(world: World) -> None:
    world.database.execute("UPDATE events SET fold_version = 9 WHERE match = %s AND seq = 4", (AWAY,))
    assert world.audit(Asked(match=HOME)).verdict == "clean"
    assert world.audit(Asked(match=AWAY)).difference_counts == {"fold_version": 1}
    with pytest.raises(CannotRunError, match="nobody"):
        world.audit(Asked(match="nobody"))


def test_what_an_older_fold_wrote_is_counted_and_no_difference(own_world: World) -> None:
    """Its scores and images were right by other rules; identity, order and chain are checked all the same."""
    database = own_world.database
    database.execute(
        "UPDATE events SET fold_version = %(older)s, payload = regexp_replace(payload::text,"
        ' \'"score":."home":[0-9]+\', \'"score":{"home":7\')::json WHERE match = %(match)s AND seq <= 10',
        {"older": FOLD_VERSION - 1, "match": HOME},
    )
    images = database.execute(
        "UPDATE images SET fold_version = %(older)s, image = '{}' WHERE match = %(match)s AND seq <= 10",
        {"older": FOLD_VERSION - 1, "match": HOME},
    ).rowcount
    receipt = own_world.audit(Asked())
    assert {kind for kind in receipt.difference_counts if not kind.startswith("stream_")} == set()
    assert {m.match: m.folded_before for m in receipt.matches} == {HOME: 10 + images, AWAY: 0}


def test_settling_waits_for_the_log_and_says_where_it_stands(own_world: World) -> None:
    own_world.builder.produce(
        [Record(a_pass("late", match=HOME)), Record(a_goal("g2", match=AWAY, side="away"))]
    )
    receipt = own_world.audit(Asked(settle=timedelta(seconds=1)))
    assert receipt.verdict == "unsettled"
    assert any("broadcast-events[0]" in line and "1 records missing" in line for line in receipt.unsettled)


def test_partitions_that_no_lane_reads_are_named_with_what_lies_in_them(own_world: World) -> None:
    """Somebody added them. Kafka never takes them back, so empty ones are no difference."""
    settings = own_world.settings
    topic = f"{settings.topic_prefix}broadcast-events"
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    [added] = admin.create_partitions([NewPartitions(topic, SHARDS + 2)]).values()
    added.result()
    producer = Producer({"bootstrap.servers": settings.kafka})
    eventually(lambda: len(admin.list_topics(topic).topics[topic].partitions) == SHARDS + 2)
    producer.produce(topic, b"{}", partition=SHARDS)
    assert producer.flush(30) == 0
    receipt = own_world.audit()
    assert receipt.difference_counts == {"partition": 1}
    assert [(line.where, line.found.partition(" ")[0]) for line in receipt.differences] == [
        (f"{topic}[{SHARDS}]", "1"),
    ]
    [deleted] = admin.delete_records([TopicPartition(topic, SHARDS, 1)]).values()
    deleted.result()
    assert own_world.audit().verdict == "clean"


def test_a_generation_that_rose_is_said_and_is_no_difference(world: World) -> None:
    """Whoever wrote the log saw that it lost something, and began it anew."""
    first = world.audit().history
    assert (first.audited_at, first.is_remembered) == (None, True)
    second = world.audit()
    assert (second.verdict, second.history.compared, second.history.risen) == ("clean", SHARDS, [])
    world.database.execute("UPDATE delivery_shards SET generation = generation + 1 WHERE shard = 0")
    third = world.audit()
    assert len(third.history.risen) == 1
    assert "history" not in third.difference_counts


def test_tail_of_repeats_counts_as_read(own_world: World) -> None:
    """Repeats leave no trace in the log, so nothing says that they were read."""
    own_world.builder.produce([record for record in own_world.records if record.event][:3])
    receipt = own_world.audit(Asked(settle=timedelta(seconds=30)))
    assert receipt.verdict == "clean"
    assert receipt.compared.repeats == 4 + 3


def _command(settings: Settings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "recovery", "audit", *arguments],
        cwd=ROOT,
        env=environment_of(settings) | {"PATH": os.environ["PATH"], "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_command_prints_a_table_and_exits_0(world: World) -> None:
    done = _command(world.settings, "--settle", "10s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert HOME in done.stdout
    assert "Clean" in done.stdout
    assert done.stderr == ""


def test_command_names_the_first_differences_and_exits_1(world: World) -> None:
    world.database.execute("DELETE FROM events WHERE shard = 0 AND position = 3")
    done = _command(world.settings)
    assert done.returncode == 1
    assert f"shard 0 position 4 ({HOME} seq 4)" in done.stdout
    receipt = json.loads(_command(world.settings, "--json", "--first", "1").stdout)
    assert receipt["verdict"] == "different"
    assert receipt["differences"][0]["means"]
    assert receipt["software"]["postgres server"]
    assert len({d["what"] for d in receipt["differences"]}) == len(receipt["differences"])


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("Kafka", {"kafka": "127.0.0.1:9"}),
        ("PostgreSQL", {"postgres": "postgresql://touchline@127.0.0.1:9/touchline"}),
        ("Redis", {"redis": "redis://127.0.0.1:9/0"}),
    ],
)
def test_server_that_is_down_is_named_and_the_exit_is_2(
    installation: Settings, part: str, changes: dict[str, str]
) -> None:
    done = _command(msgspec.structs.replace(installation, **changes))
    assert done.returncode == 2
    assert "could not run" in done.stderr
    assert f"{part}: " in done.stderr
    assert "./dev up" in done.stderr
