"""A recording through the whole platform, from the vendor's feed to a stock Socket.IO client."""

from pathlib import Path

import pytest

from local.replay.fan import CLIENT
from settings import Settings
from tests.fixtures.real_match import RealMatch, replay
from tests.recordings import NO_RECORDS, Recording

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.integration,
    pytest.mark.skipif(
        not CLIENT.is_dir(), reason="no socket.io-client in web/node_modules; ./dev test fetches it"
    ),
]

STORES = ("postgres", "redis", "socketio")


def test_each_line_is_an_event_or_a_dead_letter_whatever_happens_on_the_way(
    whole_platform: Settings, tmp_path: Path
) -> None:
    """Shuffled, each sent three times, a lane killed twice, and among them lines that are no record."""
    recording = Recording(seed=4, passes=400)
    file, truth = recording.write(tmp_path, also=NO_RECORDS)
    disorder = ("--shuffle-within", "30s", "--duplicate", "3", "--kill-enrich", "2")
    code, printed = replay(whole_platform, file, "--oracle", str(truth), *disorder)
    assert printed["differences"] == []
    assert code == 0
    assert printed["events"] == dict.fromkeys(STORES, len(recording.lines))
    assert printed["seq_gapless"] is True
    assert printed["kills"] == 2
    assert sum(printed["dead_letters"].values()) == len(NO_RECORDS)
    assert set(printed["dead_letters"]) == {
        "malformed_json",
        "invalid_record",
        "invalid_utf8",
    }
    sent = 3 * (len(recording.lines) + len(NO_RECORDS))
    assert printed["lines_sent"] == sent


def test_one_id_three_times_with_different_bodies_is_three_events(
    whole_platform: Settings, tmp_path: Path
) -> None:
    """None is swallowed, and the timeline has the goal once; a truth that says otherwise exits 1."""
    recording = Recording(seed=4, passes=100)
    goal = next(line for line in recording.lines if b'"Goal"' in line)
    others = [goal.replace(b' 9"', name) for name in (b' 10"', b' 11"')]
    file, truth = recording.write(tmp_path, also=others)
    code, printed = replay(whole_platform, file, "--oracle", str(truth), "--speed", "20000")
    count = len(recording.lines)
    assert code == 1
    assert printed["differences"] == [
        f"events in {store}: {count + 2} instead of {count}" for store in STORES
    ]
    assert printed["dead_letters"] == {}
    assert printed["goal_timeline"] == recording.truth["goal_timeline"]


@pytest.mark.parametrize(
    "disorder",
    [(), ("--shuffle-within", "30s", "--duplicate", "3")],
    ids=["in order", "shuffled and tripled"],
)
def test_what_the_file_published_last_holds(
    whole_platform: Settings, tmp_path: Path, disorder: tuple[str, ...]
) -> None:
    """Goals published again as a save, with another scorer, side or minute, or taken back and given again."""
    recording = Recording(seed=4, passes=400)
    before = recording.truth["final_score"]
    recording.publish_corrections()
    file, truth = recording.write(tmp_path, also=())
    code, printed = replay(whole_platform, file, "--oracle", str(truth), *disorder)
    assert printed["differences"] == []
    assert code == 0
    assert printed["final_score"] == recording.truth["final_score"] != before
    assert printed["dead_letters"] == {}


def test_a_real_match_comes_to_its_oracle(real_match: RealMatch) -> None:
    printed = real_match.printed
    assert printed["differences"] == []
    assert real_match.code == 0
    assert printed["events"] == dict.fromkeys(STORES, 4027)
    assert list(printed["final_score"].values()) == [2, 2]


def test_a_real_match_agrees_with_its_oracle_before_and_at_each_goal(real_match: RealMatch) -> None:
    timeline = real_match.truth["goal_timeline"]
    assert len(timeline) == 4
    before: list[str] = []
    for goal in timeline:
        period, clock = goal["period"], goal["minute"] * 60 + goal["second"]
        telling = real_match.told_at(_reading(period, clock - 1))
        assert [line.id for line in telling.then.goals] == [line.id for line in telling.now.goals] == before
        telling = real_match.told_at(_reading(period, clock))
        before.append(goal["event_id"])
        assert [line.id for line in telling.then.goals] == [line.id for line in telling.now.goals] == before
        assert telling.then.score == telling.now.score == telling.then.goals[-1].score
        score = (telling.then.score.home, telling.then.score.away)
        assert score == (goal["score"]["Barcelona"], goal["score"]["Girona"])
        assert telling.changes == []


def _reading(period: int, clock: int) -> str:
    return f"{period}/{clock // 60}:{clock % 60:02d}"
