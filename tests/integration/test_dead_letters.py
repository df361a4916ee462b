"""The desk for dead letters on real servers: each command, with a lane that answers."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local.environment import environment_of
from schemas.partitioning import partition_of
from settings import ROOT, Settings
from storage.dead_letters import CHUNK_LETTERS, DeadLetters
from tests.builders_log import Record
from tests.event_builders import a_goal, a_pass, a_reading, encoded
from tests.fixtures.letter_desk import LONG, SHARDS, Desk
from tests.fixtures.waiting import eventually


def test_a_corrected_copy_becomes_an_event_of_its_match(desk: Desk) -> None:
    """The letter itself stays as it was, and the trail says who did what."""
    match = "corrected"
    bad = encoded(a_goal("g1", match=match)).replace(b'"period":1', b'"period":9')
    (letter,) = desk.send(
        Record(a_pass(match=match)),
        Record(value=bad, key=match.encode(), topic="broadcast-events"),
        letters=1,
    )
    assert desk.json("list", "--match", match)["groups"][0]["reason"] == "invalid_record"
    status, said = desk.type("redrive", letter, "--yes")
    assert status == 1
    assert "held back" in said
    status, said = desk.type("edit", letter, "--set", "body.period=7")
    assert status == 1
    assert "$.body.period" in said
    assert desk.type("edit", letter, "--set", "body.period=2", "--dry-run")[0] == 0
    assert desk.states([letter]) == ["open"]
    assert desk.type("edit", letter, "--set", "body.period=2")[0] == 0
    status, said = desk.type("redrive", letter, "--dry-run")
    assert status == 0
    assert f"broadcast-events[{partition_of(match, SHARDS)}]" in said
    assert desk.log_of(match) == ["pass-1"]
    assert desk.type("redrive", letter, "--yes")[0] == 0
    assert desk.log_of(match) == ["pass-1", "g1"]
    shown = desk.json("show", letter)
    assert shown["state"] == "event"
    assert [(a["what"], a["from_state"], a["to_state"]) for a in shown["history"]] == [
        ("edit", "open", "corrected"),
        ("redrive", "corrected", "sent"),
        ("sent", "sent", "sent"),
        ("answered", "sent", "event"),
    ]
    assert all(action["who"] for action in shown["history"])
    assert desk.rows("SELECT original FROM dead_letters WHERE letter = %s", letter) == [(bad,)]
    assert desk.audit() == {}


def test_one_person_works_at_a_time(desk: Desk) -> None:
    (letter,) = desk.send(Record(a_pass("astray", match="alone"), topic="social-events"), letters=1)
    with DeadLetters(desk.settings.postgres) as somebody_else:
        somebody_else.work_alone()
        status, said = desk.type("discard", letter, "--because", "a test", "--yes")
        assert status == 1
        assert "somebody else" in said
        assert desk.states([letter]) == ["open"]
    assert desk.type("discard", letter, "--because", "a test", "--yes")[0] == 0


def test_sent_twice_it_is_appended_once(desk: Desk) -> None:
    match = "twice"
    (letter,) = desk.send(Record(a_pass("astray", match=match), topic="social-events"), letters=1)
    assert desk.type("redrive", letter, "--yes")[0] == 0
    status, said = desk.type("redrive", letter, "--yes")
    assert status == 1
    assert "settled as event" in said
    status, said = desk.type("redrive", letter, "--again", "--yes")
    assert status == 0
    assert "repeat" in said
    assert desk.log_of(match) == ["astray"]
    assert desk.audit() == {}


def test_each_match_gets_its_letters_in_their_order(desk: Desk) -> None:
    """Also where they go to several topics, which a lane reads in an order of its own."""
    records: list[Record] = []
    for number in range(6):
        for match in ("order-1", "order-2"):
            records.append(Record(a_reading(f"r{number}", match=match), topic="social-events"))
            records.append(Record(a_pass(f"p{number}", match=match), topic="social-events"))
    letters = desk.send(*records, letters=len(records))
    assert (
        desk.type("redrive", "--reason", "wrong_topic", "--source", "social", "--since", "1h", "--yes")[0]
        == 0
    )
    assert set(desk.states(letters)) == {"event"}
    for match in ("order-1", "order-2"):
        assert desk.log_of(match) == [f"{kind}{number}" for number in range(6) for kind in "rp"]
    assert desk.audit() == {}


def test_what_lies_on_a_wrong_partition_goes_home_and_what_is_refused_again_is_told(desk: Desk) -> None:
    match = "far-from-home"
    home = partition_of(match, SHARDS)
    (astray,) = desk.send(Record(a_pass("lost", match=match), partition=1 - home), letters=1)
    (broken,) = desk.send(Record(value=b"{oops", key=match.encode()), letters=1)
    assert desk.type("redrive", "--match", match, "--yes")[0] == 1
    assert desk.states([astray, broken]) == ["event", "open"]
    status, said = desk.type("redrive", broken, "--anyway", "--yes")
    assert status == 1
    assert "malformed_json" in said
    assert desk.states([broken, desk.letters()[-1]]) == ["refused", "open"]
    assert desk.letters()[-1] > broken
    assert desk.audit() == {}


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("list", "--newest=-1"), 2, "--newest"),
        (("show", "0"), 2, "letter 0: say a number from 1"),
        (("show", "99999999999999999999"), 2, "say a number from 1"),
        (("list", "--since", "1000000d"), 2, "--since"),
    ],
    ids=lambda given: given[-1] if isinstance(given, tuple) else "",
)
def test_numbers_and_times_that_cannot_be_are_refused(
    arguments: tuple[str, ...], status: int, said: str
) -> None:
    """By name, before any server is asked."""
    argv = [sys.executable, "-m", "recovery", "deadletters", *arguments]
    refused = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == status
    assert said in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.timeout(120)
def test_letters_that_are_refused_again_are_sent_once(desk: Desk) -> None:
    """More than are read in one go: each refusal is a new letter of the same kind, behind the last one."""
    count = CHUNK_LETTERS + 5
    broken = [Record(value=b"{oops", key=b"again", topic="social-events") for _ in range(count)]
    letters = desk.send(*broken, letters=count)
    chosen = ("--match", "again", "--reason", "malformed_json", "--anyway")
    before = len(desk.letters())
    assert len(desk.json("redrive", *chosen, "--dry-run")) == count
    results = desk.json("redrive", *chosen, "--yes")["letters"]
    assert [result["letter"] for result in results] == letters
    assert {result["state"] for result in results} == {"refused"}
    assert len(desk.letters()) == before + count
    assert desk.audit() == {}


def test_a_discarded_letter_is_settled_and_says_why(desk: Desk) -> None:
    match = "discarded"
    (letter,) = desk.send(Record(value=b"{oops", key=match.encode()), letters=1)
    assert desk.type("discard", "--match", match, "--because", "a test of theirs", "--dry-run")[0] == 0
    status, said = desk.type("discard", "--match", match, "--because", "a test of theirs")
    assert status == 1
    assert "--yes" in said
    assert desk.states([letter]) == ["open"]
    assert desk.type("discard", "--match", match, "--because", "a test of theirs", "--yes")[0] == 0
    assert desk.json("list", "--match", match)["newest"] == []
    assert [line["state"] for line in desk.json("list", "--match", match, "--every")["newest"]] == [
        "discarded"
    ]
    assert "a test of theirs" in desk.type("show", letter)[1]


def test_nothing_is_chosen_by_accident(desk: Desk) -> None:
    status, said = desk.type("redrive", "--yes")
    assert status == 1
    assert "--reason" in said
    assert desk.type("show", 999_999)[0] == 1
    assert desk.type("discard", 999_999, "--because", "none", "--yes")[0] == 1


def test_a_killed_redrive_is_run_again_and_counts_once(
    desk: Desk, lane_at_work: "tuple[Settings, subprocess.Popen[bytes]]"
) -> None:
    """SIGKILL after its records are in Kafka and before the lane, which hangs, has answered."""
    match = "killed"
    records = [Record(a_pass(f"p{number}", match=match), topic="social-events") for number in range(5)]
    letters = desk.send(*records, letters=5)
    _, lane = lane_at_work
    lane.send_signal(signal.SIGSTOP)
    try:
        argv = [sys.executable, "-m", "recovery", "deadletters", "redrive", "--match", match, "--yes"]
        environment = environment_of(desk.settings) | {"PATH": os.environ["PATH"]}
        redrive = subprocess.Popen(argv, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        sent = "SELECT 1 FROM letter_actions WHERE letter = %s AND what = 'sent'"
        eventually(lambda: desk.rows(sent, letters[-1]), LONG)
        redrive.send_signal(signal.SIGKILL)
        redrive.wait()
        assert desk.states(letters) == ["sent"] * 5
        status, said = desk.type("redrive", "--match", match, "--yes", "--within", "100ms")
        assert status == 1
        assert "without an answer" in said
    finally:
        lane.send_signal(signal.SIGCONT)
    assert desk.type("redrive", "--match", match, "--yes")[0] == 0
    assert desk.log_of(match) == [f"p{number}" for number in range(5)]
    assert desk.audit() == {}


def test_an_editor_and_a_file_give_a_copy_too(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    match = "by-hand"
    bad = encoded(a_goal("g1", match=match)).replace(b'"period":1', b'"period":9')
    (letter,) = desk.send(Record(value=bad, key=match.encode(), topic="broadcast-events"), letters=1)
    monkeypatch.setenv("VISUAL", """sed -i 's/"period": 9/"period": 2/'""")
    assert desk.type("edit", letter)[0] == 0
    file = tmp_path / "record.json"
    file.write_bytes(encoded(a_goal("g2", match=match)))
    assert desk.type("edit", letter, "--file", file)[0] == 0
    copies = [action["corrected"] for action in desk.json("show", letter)["history"]]
    assert len(set(copies)) == 2
    assert desk.type("redrive", letter, "--yes")[0] == 0
    assert desk.log_of(match) == ["g2"]


def test_what_the_database_cannot_read_is_no_traceback(desk: Desk) -> None:
    status, said = desk.type("list", "--match", "a\0b")
    assert status == 2
    assert "Look at what was asked for" in said


def test_a_database_that_is_down_is_named_and_the_exit_is_2(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOUCHLINE_POSTGRES", "postgresql://touchline@127.0.0.1:9/touchline")
    status, said = desk.type("list")
    assert status == 2
    assert "PostgreSQL: 127.0.0.1:9" in said
