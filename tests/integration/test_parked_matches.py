"""Parking with a lane at work: the commands, what the audit says, and lanes that are killed."""

from datetime import UTC, datetime

import pytest

from local.environment import environment_of
from recovery.deadletters.sending import RawProducer
from schemas.control import PARK, RELEASE, ControlRecord, Kind
from schemas.letters import Origin
from schemas.raw import RawEvent
from settings import Settings
from tests.builders_log import Record
from tests.event_builders import a_goal, a_pass, a_reading, encoded
from tests.fixtures.letter_desk import LONG, Desk, running_lane, running_relay
from tests.fixtures.waiting import eventually


def _waiting(desk: Desk, match: str) -> int:
    return int(desk.rows("SELECT count(*) FROM parked WHERE match = %s", match)[0][0])


def test_a_match_waits_behind_its_dead_letter_and_goes_on_after_it(desk: Desk) -> None:
    """The goal was refused; what builds upon it waits until its corrected copy is there."""
    match = "waits"
    bad = encoded(a_goal("g1", match=match)).replace(b'"period":1', b'"period":9')
    goal = Record(value=bad, key=match.encode(), topic="broadcast-events")
    (letter,) = desk.send(Record(a_pass("p1", match=match)), goal, letters=1)
    eventually(lambda: desk.log_of(match) == ["p1"], LONG)
    status, said = desk.type("park", f"{match}s", "--yes")
    assert status == 1
    assert "is it written like that" in said
    assert desk.type("park", match)[0] == 1  # nobody said yes
    assert "open" in desk.type("park", match, "--dry-run")[1]
    assert desk.type("park", match, "--because", "a goal is missing", "--yes")[0] == 0
    later: list[RawEvent] = [
        a_pass("p2", match=match),
        a_reading("r1", match=match),
        a_pass("p3", match=match),
    ]
    desk.send(*[Record(event) for event in later], Record(later[0]), Record(a_pass("other", match="goes-on")))
    eventually(lambda: _waiting(desk, match) == 4, LONG)
    eventually(lambda: desk.log_of("goes-on"), LONG)
    assert desk.log_of(match) == ["p1"]
    assert desk.audit() == {}
    assert desk.type("edit", letter, "--set", "body.period=2")[0] == 0
    status, said = desk.type("redrive", letter, "--yes")
    assert status == 0
    assert "parked" in said
    (shown,) = desk.json("parked")
    assert (shown["match"], shown["waiting"], shown["because"]) == (match, 5, "a goal is missing")
    assert "5 events" in desk.type("release", match, "--dry-run")[1]
    assert desk.type("release", match, "--yes")[0] == 0
    log = desk.log_of(match)
    assert log[:2] == ["p1", "g1"]
    assert [name for name in log if name.startswith("p")] == ["p1", "p2", "p3"]
    assert len(log) == 5
    assert desk.json("parked") == []
    assert desk.type("release", match, "--yes")[0] == 1
    assert desk.audit() == {}


def test_a_match_that_the_log_has_never_seen_is_not_parked_by_mistake(desk: Desk) -> None:
    """Nobody would notice that the real match goes on; one of which only a letter came is known."""
    desk.send(Record(a_pass("p1", match="spelled-well")))
    eventually(lambda: desk.log_of("spelled-well"), LONG)
    for option in ("--dry-run", "--yes"):
        status, said = desk.type("park", "spelt-well", option)
        assert status == 1
        assert "Nothing has come of a match 'spelt-well'" in said
        assert "--unseen" in said
    assert desk.json("parked") == []
    assert desk.rows("SELECT 1 FROM controls WHERE match = 'spelt-well'") == []
    assert desk.type("park", "spelled-well", "--dry-run")[0] == 0
    assert desk.type("park", "spelt-well", "--unseen", "--dry-run")[0] == 0
    desk.send(Record(value=b"{", key=b"only-a-letter", topic="broadcast-events"), letters=1)
    assert desk.type("park", "only-a-letter", "--dry-run")[0] == 0


def test_the_audit_tells_an_event_that_waits_in_an_open_match(desk: Desk) -> None:
    match = "stuck"
    assert desk.type("park", match, "--yes", "--unseen")[0] == 0
    assert desk.type("park", match, "--yes")[0] == 0  # it is parked already
    desk.send(Record(a_pass("p1", match=match)))
    eventually(lambda: _waiting(desk, match) == 1, LONG)
    desk.change("UPDATE controls SET state = 'open' WHERE match = %s", match)
    assert desk.audit() == {"parked": 3}  # the event, and both controls, which a lane leaves parked
    desk.change("UPDATE controls SET state = 'parked' WHERE match = %s", match)
    assert desk.type("release", match, "--yes")[0] == 0
    assert desk.audit() == {}


def _tell(settings: Settings, kind: Kind, match: str) -> Origin:
    record = ControlRecord(type=kind, match=match, issued_at=datetime.now(UTC), issued_by="a test")
    return RawProducer(settings.kafka, settings.topic_prefix).tell(record, settings.shards)


def test_lanes_that_are_killed_between_control_records_lose_and_repeat_nothing(
    installation: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """SIGKILL while events are parked, while they are released, and after the match went on."""
    for name, value in environment_of(installation).items():
        monkeypatch.setenv(name, value)
    desk, match = Desk(installation, capsys), "killed"
    events = [Record(a_pass(f"p{number}", match=match)) for number in range(1_500)]
    opened = "SELECT 1 FROM controls WHERE kind = 'opened'"
    desk.send(Record(a_pass("first", match=match)))
    with running_lane(installation):
        eventually(lambda: desk.log_of(match), LONG)
        _tell(installation, PARK, match)
        eventually(lambda: desk.rows("SELECT 1 FROM controls"), LONG)
        desk.send(*events)
        eventually(lambda: _waiting(desk, match) > 0, LONG)
    with running_lane(installation):
        eventually(lambda: _waiting(desk, match) == len(events), LONG)
        _tell(installation, RELEASE, match)
        eventually(lambda: len(desk.log_of(match)) > 1, LONG)
    with running_lane(installation):
        eventually(lambda: len(desk.rows(opened)) == 1, LONG)
    _tell(installation, PARK, match)
    desk.send(Record(a_pass("last", match=match)))
    _tell(installation, RELEASE, match)
    with running_lane(installation), running_relay(installation):
        eventually(lambda: len(desk.rows(opened)) == 2, LONG)
        eventually(lambda: "last" in desk.log_of(match), LONG)
        assert desk.log_of(match) == ["first", *(f"p{n}" for n in range(len(events))), "last"]
        assert _waiting(desk, match) == 0
        assert desk.audit() == {}
