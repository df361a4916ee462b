"""A range of a real log through other code: the diff is what that code changes, and only that."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import msgspec
import psycopg
import pytest

from local.environment import environment_of
from recovery.audit.meter import Silence
from recovery.replay.candidate import INSTALLED, CodeUnusableError, load_code
from recovery.replay.report import Report
from recovery.replay.run import Wish, plan, run_replay
from schemas.fold import FOLD_VERSION as INSTALLED_VERSION
from schemas.fold import advance
from schemas.image import MatchImage
from schemas.live import Score, decode_live
from schemas.raw import RawEvent
from settings import ROOT, Settings
from storage.range_reads import RangeReads
from tests.event_builders import (
    KICK_OFF,
    a_cancel_of,
    a_change_of,
    a_fixture,
    a_goal,
    a_pass,
    a_period_start,
    encoded,
)
from tests.fixtures.audit_world import AWAY, HOME, World
from tests.fixtures.log_writer import NewWriter

pytestmark = pytest.mark.integration

FOLD_VERSION = INSTALLED_VERSION + 1
HERE = "tests.integration.test_replay_fold"


def nine_goals_by_passing(image: MatchImage, event: RawEvent) -> MatchImage:
    """The installed fold, but in one match passes from seq 10 on make a home score of 9."""
    after = advance(image, event)
    if image.match == HOME and event.type == "pass" and after.seq >= 10:
        return msgspec.structs.replace(after, score=Score(9, after.score.away))
    return after


def no_posts(image: MatchImage, event: RawEvent) -> MatchImage:
    if event.type == "post" and image.match == AWAY:
        raise ValueError("no posts")
    return advance(image, event)


def replay(settings: Settings, wish: Wish) -> Report:
    with RangeReads(settings.postgres) as reads:
        planned = plan(reads, wish, datetime.now(UTC))
        return run_replay(settings, reads, wish, planned, Silence())


def side_schemas(database: psycopg.Connection) -> list[str]:
    rows = database.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'replay%'")
    return [name for (name,) in rows]


def test_installed_fold_changes_nothing_and_leaves_nothing(world: World) -> None:
    report = replay(world.settings, Wish(load_code(INSTALLED)))
    assert (report.verdict, report.counts, report.changes, report.differences) == ("same", {}, [], [])
    assert (report.rows, report.matches) == (2 * 27, 2)
    assert report.saved_images > 8
    assert report.folds.log_versions == {INSTALLED_VERSION: 54}
    assert side_schemas(world.database) == []


def test_log_that_a_lane_wrote_folds_to_the_same_bytes(new_writer: NewWriter) -> None:
    """However a record is spaced on the wire, it is stored in one form, and written again in it."""
    writer = new_writer()
    goal = a_goal(text="¡Gol! \\ \u2028 \U0001f600")
    wire = b" " + encoded(a_pass("p1", ingested_at=KICK_OFF)).replace(b",", b" , ")
    taken_back = a_cancel_of(goal)
    writer.write(a_fixture(), a_period_start(), goal, wire, taken_back, a_change_of(taken_back, player="é"))
    writer.settle()
    report = replay(writer.settings, Wish(load_code(INSTALLED)))
    assert (report.verdict, report.rows) == ("same", 6)


def test_changed_fold_shows_what_it_changes_and_only_that(world: World) -> None:
    """Two passes of one match get another score; the goal after them settles it again."""
    report = replay(world.settings, Wish(load_code(f"{HERE}:nine_goals_by_passing"), shown=99))
    assert report.verdict == "changes"
    assert report.folds.code_version == FOLD_VERSION
    stored = [
        decode_live(payload.encode())
        for (payload,) in world.database.execute(
            "SELECT payload::text FROM events WHERE match = %s ORDER BY seq", (HOME,)
        )
    ]
    changed = [live.seq for live in stored if live.event.type == "pass" and live.seq >= 10]
    assert len(changed) > 2
    assert [change.match for change in report.changes] == [HOME]
    assert [line.seq for line in report.differences if line.kind == "score"] == changed
    assert [line.seq for line in report.differences if line.kind == "payload"] == changed
    assert set(report.counts) == {"score", "payload", "saved_image"}
    line = report.differences[0]
    assert (line.was, line.would_be) == ('{"home":0,"away":0}', '{"home":9,"away":0}')
    saved = [line for line in report.differences if line.kind == "saved_image"]
    assert {line.seq for line in saved} <= set(changed)
    assert all(line.was.startswith("score ") for line in saved)


def test_range_starts_from_the_image_in_front_of_it(world: World) -> None:
    """What differs comes from the range; here it ends among the passes, so the image differs as well."""
    code = load_code(f"{HERE}:nine_goals_by_passing")
    positions: dict[int, int] = dict(
        world.database.execute("SELECT seq, position FROM events WHERE match = %s", (HOME,)).fetchall()
    )
    report = replay(world.settings, Wish(code, match=HOME, first=positions[11], last=positions[12]))
    assert report.rows == 2
    assert report.counts["score"] == report.counts["payload"] == 2
    assert report.counts["image"] == 1
    before = replay(world.settings, Wish(code, shard=0, first=1, last=positions[9]))
    assert (before.verdict, before.rows) == ("same", positions[9])


def test_record_that_the_fold_refuses_is_told_and_what_follows_still_compares(world: World) -> None:
    report = replay(world.settings, Wish(load_code(f"{HERE}:no_posts")))
    assert report.counts == {"refused": 1, "image": 1, "saved_image": report.counts["saved_image"]}
    assert report.differences[0].would_be == "ValueError: no posts"
    image = next(line for line in report.differences if line.kind == "image")
    assert image.was.startswith("counts ")


def test_kept_schema_shows_both_side_by_side_until_it_is_dropped(world: World) -> None:
    code = f"{HERE}:nine_goals_by_passing"
    done = command(world.settings, "--code", code, "--match", HOME, "--keep", "--json")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    name = report["side_schema"]
    assert f"writing the result to the side schema {name} and keep it" in done.stderr
    differing = world.database.execute(
        psycopg.sql.SQL(
            "SELECT count(*) FROM events AS e INNER JOIN {}.events AS s USING (shard, position)"
            " WHERE e.payload::text <> s.payload::text"
        ).format(psycopg.sql.Identifier(name))
    ).fetchone()
    assert differing == (report["counts"]["payload"],)
    done = command(world.settings, "--drop", name)
    assert done.returncode == 0, done.stderr
    assert side_schemas(world.database) == []


def test_dry_run_says_what_it_would_read_and_writes_nothing(world: World) -> None:
    done = command(world.settings, "--shard", "0", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "Would read 27 events of 1 match (shard 0)" in done.stderr
    assert done.stdout == ""
    assert side_schemas(world.database) == []


@pytest.mark.parametrize("name", ["no_colon", "no.such.module:advance", f"{HERE}:nothing"])
def test_name_that_leads_to_no_fold_is_refused(name: str) -> None:
    with pytest.raises(CodeUnusableError, match="MODULE:FUNCTION"):
        load_code(name)


def command(settings: Settings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "recovery", "replay", *arguments],
        cwd=ROOT,
        env=environment_of(settings) | {"PATH": os.environ["PATH"], "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )
