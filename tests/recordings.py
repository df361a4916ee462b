"""A small recorded match in StatsBomb's format, made up here, and what it comes to."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

HOME, AWAY = "Fjordheim", "Costa Verde"
_TEAMS = (HOME, AWAY)
_KICK_OFF_HOUR = {1: 20, 2: 21}

# No record of any kind; each must end as a dead letter.
NO_RECORDS = (
    b"half of a li",
    b'{"id": "no-type", "period": 1}',
    b'{"id": 7}',
    b"\xff\xfe not even text",
    b'{"id": "nul\\u0000", "type": {"name": "Pass"}, "team": {"name": "Fjordheim"}, "period": 1,'
    b' "minute": 1, "second": 0, "_event_time": "2024-03-16T20:01:00Z"}',
)


class Recording:
    """Lines in the order of play, and the truth about them, counted while they are written."""

    def __init__(self, seed: int, passes: int) -> None:
        self.lines: list[bytes] = []
        self.truth: dict[str, Any] = {
            "final_score": dict.fromkeys(_TEAMS, 0),
            "goal_timeline": [],
            "cards": [],
            "passes": dict.fromkeys(_TEAMS, 0),
            "passes_completed": dict.fromkeys(_TEAMS, 0),
            "substitutions": 0,
        }
        self._draw = random.Random(seed)
        for team in _TEAMS:
            self._say(1, 0, "Starting XI", team, tactics={"formation": 442, "lineup": []})
        for period in (1, 2):
            self._half(period, passes // 2)
        self.truth["records"] = len(self.lines)

    def publish_corrections(self) -> None:
        """Publish goals again: as a save, with another scorer, side or minute, taken back and given again.

        Half of them right behind what they correct, where disorder meets both;
        the others at the end. The truth is what was published last.
        """
        goals = [g for g in self.truth["goal_timeline"] if b'"Goal"' in self._line_of(g["event_id"])]
        saved, renamed, moved, late, twice = (
            json.loads(self._line_of(goal["event_id"])) for goal in goals[:5]
        )
        self._publish_again(saved, 2, shot={"outcome": {"name": "Saved"}})
        self._publish_again(renamed, 2, player={"name": "Another 10"})
        self._publish_again(moved, 0, team={"name": _TEAMS[moved["team"]["name"] == HOME]})
        self._publish_again(late, 0, minute=late["period"] * 45 - 1, second=59)
        self._publish_again(twice, 2, shot={"outcome": {"name": "Saved"}})
        self._publish_again(twice, 0)
        rows = {g["event_id"]: g for g in self.truth["goal_timeline"] if g["event_id"] != saved["id"]}
        rows[moved["id"]]["team"] = _TEAMS[moved["team"]["name"] == HOME]
        rows[late["id"]] |= {"minute": late["period"] * 45 - 1, "second": 59}
        score = dict.fromkeys(_TEAMS, 0)
        timeline = sorted(rows.values(), key=lambda g: (g["period"], g["minute"], g["second"]))
        for goal in timeline:
            score[goal["team"]] += 1
            goal["score"] = dict(score)
        self.truth |= {"goal_timeline": timeline, "final_score": score, "records": len(self.lines)}

    def _publish_again(self, line: dict[str, Any], behind: int, **changes: Any) -> None:
        """Say a line once more with changes, `behind` lines after it, or at the end."""
        again = json.dumps({**line, **changes}).encode()
        at = self.lines.index(self._line_of(line["id"])) + behind if behind else len(self.lines)
        self.lines.insert(at, again)

    def _line_of(self, event: str) -> bytes:
        return next(line for line in self.lines if event.encode() in line)

    def write(self, folder: Path, also: Sequence[bytes]) -> tuple[Path, Path]:
        """Write lines and truth to files; `also` stands in between, and the truth does not know of it."""
        recording, truth = folder / "recording.jsonl", folder / "truth.json"
        half = len(self.lines) // 2
        lines = (*self.lines[:half], *also, *self.lines[half:])
        recording.write_bytes(b"\n".join(lines) + b"\n")
        truth.write_text(json.dumps(self.truth))
        return recording, truth

    def _half(self, period: int, passes: int) -> None:
        start = (period - 1) * 2700
        for team in _TEAMS:
            self._say(period, start, "Half Start", team)
        for clock in sorted(start + self._draw.randrange(2700) for _ in range(passes)):
            self._moment(period, clock)
        for team in _TEAMS:
            self._say(period, start + 2710, "Half End", team)

    def _moment(self, period: int, clock: int) -> None:
        team, chance = self._draw.choice(_TEAMS), self._draw.random()
        if chance < 0.02:
            event = self._say(period, clock, "Shot", team, shot={"outcome": {"name": "Goal"}})
            self._score(period, clock, team, event)
        elif chance < 0.03:
            event = self._say(period, clock, "Own Goal Against", team)
            self._score(period, clock, _TEAMS[team == HOME], event)
        elif chance < 0.06:
            card = self._draw.choice(("Yellow Card", "Red Card"))
            self._say(period, clock, "Foul Committed", team, foul_committed={"card": {"name": card}})
            self.truth["cards"].append([clock // 60, team, card, f"{team} 9"])
        elif chance < 0.08:
            self._say(period, clock, "Substitution", team, substitution={"replacement": {"name": "Sub"}})
            self.truth["substitutions"] += 1
        else:
            failed = self._draw.random() < 0.2
            self._say(period, clock, "Pass", team, **{"pass": {"outcome": {"name": "Out"}} if failed else {}})
            self.truth["passes"][team] += 1
            self.truth["passes_completed"][team] += not failed

    def _score(self, period: int, clock: int, team: str, event: str) -> None:
        self.truth["final_score"][team] += 1
        minute, second = divmod(clock, 60)
        goal = {"period": period, "minute": minute, "second": second, "team": team, "event_id": event}
        self.truth["goal_timeline"].append({**goal, "score": dict(self.truth["final_score"])})

    def _say(self, period: int, clock: int, kind: str, team: str, **detail: Any) -> str:
        event = str(UUID(int=self._draw.getrandbits(128)))
        into = clock - (period - 1) * 2700
        thousandths = self._draw.randrange(1000)
        stamp = f"2024-03-16T{_KICK_OFF_HOUR[period]}:{into // 60:02}:{into % 60:02}.{thousandths:03}Z"
        line = {
            "_event_time": stamp,
            "id": event,
            "index": len(self.lines) + 1,
            "period": period,
            "minute": clock // 60,
            "second": clock % 60,
            "type": {"name": kind},
            "team": {"name": team},
            "player": {"name": f"{team} 9"},
            **detail,
        }
        self.lines.append(json.dumps(line).encode())
        return event
