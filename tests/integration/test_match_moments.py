"""The match time machine on a real log (test_replay.py has a real match for it)."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from local.environment import environment_of
from recovery.audit.meter import Silence
from recovery.matches.command import look_at, read_cut
from recovery.matches.telling import KnownThen, Telling
from schemas.partitioning import partition_of
from schemas.raw import RawEvent
from settings import ROOT, Settings
from tests.builders_log import GENERATION, LogBuilder, Record
from tests.event_builders import (
    MATCH,
    a_cancel_of,
    a_card,
    a_change_of,
    a_fixture,
    a_goal,
    a_pass,
    a_period_end,
    a_period_start,
    a_reading,
)

pytestmark = pytest.mark.integration


def ask(settings: Settings, match: str, at: str) -> Telling:
    return look_at(settings, match, *read_cut(at, None, None, datetime.now(UTC)), Silence())


def command(settings: Settings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "recovery", "match", *arguments],
        cwd=ROOT,
        env=environment_of(settings) | {"PATH": os.environ["PATH"], "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def played(installation: Settings) -> Settings:
    """A half with a goal that VAR took back, a scorer that changed later, and a goal that arrived late."""
    first, second = a_goal("g1", clock=600), a_goal("g2", clock=1200, player="Yangel")
    events: list[RawEvent] = [
        a_fixture(),
        a_period_start(),
        first,
        a_reading("r1"),
        a_pass("p1", clock=640),
        a_cancel_of(first, reason="offside"),
        a_card("c1", clock=700),
        second,
        a_pass("p2", clock=1210),
        a_change_of(second, player="Aleix"),
        a_pass("p3", clock=1800),
        a_goal("g3", clock=1500, side="away", player="Cristhian"),  # late
        a_period_end(clock=2790),
        a_pass("p4", period=2, clock=2701),
    ]
    builder = LogBuilder(installation)
    builder.deliver([Record(event) for event in events])
    builder.write()
    return installation


def goals(known: KnownThen) -> list[tuple[str, str]]:
    return [(goal.id, goal.player) for goal in known.goals]


def test_moments_of_a_match_are_told_as_known_then_and_now(played: Settings) -> None:
    taken_back = ask(played, MATCH, "10:30")
    assert (goals(taken_back.then), goals(taken_back.now)) == ([("g1", "Artem")], [])
    assert [(c.what, c.seq) for c in taken_back.changes] == [("score", None), ("goal", 6)]
    changed = ask(played, MATCH, "20:05")
    assert (goals(changed.then), goals(changed.now)) == ([("g2", "Yangel")], [("g2", "Aleix")])
    assert [(c.what, c.then, c.now, c.seq) for c in changed.changes] == [("goal", "Yangel", "Aleix", 10)]
    late = ask(played, MATCH, "25:00")
    assert (goals(late.then), goals(late.now)) == ([("g2", "Aleix")], [("g2", "Aleix"), ("g3", "Cristhian")])
    assert (late.shard, late.generation) == (partition_of(MATCH, played.shards), GENERATION)
    assert (late.then.seq, late.now.seq) == (10, 14)
    assert ask(played, MATCH, "45+2:00").changes == []
    assert [card.player for card in ask(played, MATCH, "45+2:00").then.cards] == ["Yangel"]


def test_command_shows_both_and_says_in_words_what_changed(played: Settings) -> None:
    done = command(played, MATCH, "--at", "10:30")
    assert done.returncode == 0, done.stderr
    for said in (
        "As known then",
        "As known now",
        "Barcelona - Girona at 10:30",
        "the score was 1-0, is 0-0",
        "10:00 goal of Artem (home) was taken back: offside",
        "by seq 6",
    ):
        assert said in done.stdout
    printed = json.loads(command(played, MATCH, "--seq", "3", "--json").stdout)
    assert printed["then"]["score"] == {"home": 1, "away": 0}
    assert printed["now"]["score"] == {"home": 0, "away": 0}
    assert printed["moment"] == "10:00"


def test_command_refuses_a_match_that_the_log_does_not_have(played: Settings) -> None:
    done = command(played, "2031", "--at", "10:30")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"Alike: {MATCH}" in done.stderr.replace("\n", " ")
