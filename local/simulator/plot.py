"""What happens in a match that counts: goals, cards, substitutions, reviews. Pure."""

import random
from dataclasses import dataclass

from local.simulator.clubs import COMPETITION
from local.simulator.occasion import Occasion, other
from local.simulator.tally import Result, Tally
from local.simulator.tempo import HALF_SECONDS
from schemas.raw import Action, BroadcastBody, BroadcastEvent, Side

# A review lasts this long on the match clock, but at least so long for people
# to see it, in a short match too.
_REVIEW_MATCH_SECONDS = 90
_REVIEW_SHARE = 0.06  # of the playing time
_REVIEW_AT_LEAST_SECONDS = 2.5

_OFFENCES = ("VAR: offside", "VAR: handball in the build-up", "VAR: foul before the goal")
_CARD_REASONS = ("tactical foul", "dissent", "late tackle", "time wasting", "handball")


@dataclass(frozen=True)
class Moment:
    """A record of the plot and when it is sent."""

    offset: float
    record: BroadcastEvent
    mood: str = "talk"  # what people post about after it
    # When it is corrected: an unruly feed may send it only after that.
    corrected_at: float | None = None


@dataclass(frozen=True)
class Plot:
    moments: tuple[Moment, ...]  # in order of offset
    result: Result


def write_plot(draw: random.Random, occasion: Occasion, corrections: float) -> Plot:
    """Invent a match; `corrections` is the share of goals and cards that is revised.

    One goal is always taken back by the video assistant, so that each match
    shows a correction.
    """
    writer = _Writer(draw, occasion, corrections)
    writer.frame()
    writer.goals()
    writer.cards()
    writer.substitutions()
    moments = tuple(sorted(writer.moments, key=lambda moment: moment.offset))
    return Plot(moments, writer.tally.result())


class _Writer:
    def __init__(self, draw: random.Random, occasion: Occasion, corrections: float) -> None:
        self.moments: list[Moment] = []
        self.tally = Tally()
        self._draw = draw
        self._occasion = occasion
        self._tempo = occasion.tempo
        self._corrections = corrections
        self._issued = 0
        shortest = max(self._tempo.half * _REVIEW_SHARE, min(_REVIEW_AT_LEAST_SECONDS, self._tempo.half / 6))
        played = self._tempo.offset_of(1, _REVIEW_MATCH_SECONDS) - self._tempo.offset_of(1, 0)
        self._review = max(played, shortest)

    def frame(self) -> None:
        """Fixture, line-ups and the marks of the halves."""
        occasion, tempo = self._occasion, self._tempo
        fixture = BroadcastBody(
            home=occasion.home.club,
            away=occasion.away.club,
            competition=COMPETITION,
            kick_off=occasion.at(tempo.kick_off),
        )
        self._say(tempo.kick_off * 0.1, "fixture", self._new_id("fixture"), fixture)
        sides: tuple[Side, Side] = ("home", "away")
        for side in sides:
            squad = occasion.squad(side)
            text = f"{squad.club}: {', '.join(squad.starters)}"
            body = BroadcastBody(side=side, text=text)
            self._say(tempo.kick_off * 0.5, "lineup", self._new_id("lineup"), body)
        end = (HALF_SECONDS + tempo.stoppage[0], 2 * HALF_SECONDS + tempo.stoppage[1])
        marks = (
            ("period_start", 1, 0, ""),
            ("period_end", 1, end[0], "half_time"),
            ("period_start", 2, HALF_SECONDS, ""),
            ("period_end", 2, end[1], "full_time"),
        )
        for kind, period, clock, outcome in marks:
            body = BroadcastBody(period=period, clock=clock, outcome=outcome)
            self._say(tempo.offset_of(period, clock), kind, self._new_id("mark"), body)

    def goals(self) -> None:
        """Two to six goals in time order; one in the first half is always taken back."""
        draw = self._draw
        show_piece = draw.randrange(12 * 60, 30 * 60)
        others = [self._some_clock() for _ in range(draw.randrange(1, 6))]
        for clock in sorted([show_piece, *others]):
            side = self._some_side()
            if clock == show_piece:
                self._goal_taken_back(side, clock, on_show=True)
            elif draw.random() >= self._corrections:
                self._goal(side, clock)
            else:
                draw.choice(
                    (self._goal_taken_back, self._goal_upheld, self._scorer_changed, self._own_goal_after_all)
                )(side, clock)
        if draw.random() < 0.3:
            clock = self._some_clock()
            body = self._incident(
                self._some_side(), clock, outcome=draw.choice(("saved", "post", "off_target"))
            )
            self._say(self._offset(clock), "penalty_missed", self._new_id("goal"), body)

    def cards(self) -> None:
        """Yellow cards, some of which are withdrawn, one sometimes followed by a second."""
        draw = self._draw
        for _ in range(draw.randrange(2, 6)):
            side, clock = self._some_side(), self._some_clock(latest=75 * 60)
            body = self._incident(side, clock, reason=draw.choice(_CARD_REASONS))
            card = self._new_id("card")
            if draw.random() < self._corrections:
                offset = self._offset(clock)
                self._say(offset, "yellow_card", card, body, corrected_at=offset + self._review)
                self._correct(card, 2, "cancel", "yellow_card", body, "VAR: mistaken identity", self._review)
                continue
            self._say(self._offset(clock), "yellow_card", card, body)
            if draw.random() < 0.15:
                sent_off = self._incident(side, clock + 600, player=body.player, reason="second booking")
                self._say(self._offset(clock + 600), "second_yellow_card", self._new_id("card"), sent_off)
            elif draw.random() < 0.3:
                # Booked a moment earlier, told only now: it belongs in front of the first.
                body = self._incident(side, clock, reason="dissent")
                self._say(
                    self._offset(clock) + self._review,
                    "yellow_card",
                    self._new_id("card"),
                    body,
                    insert_before=card,
                )

    def substitutions(self) -> None:
        """Up to five a side, each player of the bench once."""
        sides: tuple[Side, Side] = ("home", "away")
        for side in sides:
            squad = self._occasion.squad(side)
            for entering in squad.bench[: self._draw.randrange(2, 6)]:
                clock = self._draw.randrange(50 * 60, 88 * 60)
                body = self._incident(side, clock, other_player=entering, outcome="tactical")
                self._say(self._offset(clock), "substitution", self._new_id("sub"), body)

    def _goal(self, side: Side, clock: int) -> None:
        self._give(side, clock, None)

    def _goal_taken_back(self, side: Side, clock: int, on_show: bool = False) -> None:
        reason = self._draw.choice(_OFFENCES)
        goal, body = self._give(side, clock, None if on_show else self._review)
        self._review_of(body, "possible infringement before the goal", "goal_disallowed")
        self._correct(goal, 2, "cancel", "goal", body, reason, self._review)
        self.tally.take_back(goal)

    def _goal_upheld(self, side: Side, clock: int) -> None:
        goal, body = self._give(side, clock, None)
        self._review_of(body, "possible offside", "goal_stands")
        self._correct(goal, 2, "confirm", "goal", body, "VAR: goal stands", self._review)

    def _scorer_changed(self, side: Side, clock: int) -> None:
        goal, body = self._give(side, clock, self._review)
        named = self._incident(side, clock, other_player=body.player)
        self._correct(goal, 2, "modify", "goal", named, "scorer changed", self._review)

    def _own_goal_after_all(self, side: Side, clock: int) -> None:
        """The last touch was a defender's: the goal still counts for the same side."""
        goal, _ = self._give(side, clock, self._review)
        defender = self._incident(other(side), clock)
        self._correct(goal, 2, "modify", "own_goal", defender, "own goal", self._review)
        if self._draw.random() < 0.3:
            self._correct(goal, 3, "cancel", "own_goal", defender, _OFFENCES[0], 2 * self._review)
            self.tally.take_back(goal)

    def _give(self, side: Side, clock: int, corrected_in: float | None) -> tuple[str, BroadcastBody]:
        squad = self._occasion.squad(side)
        scorer, assist = self._draw.sample(squad.starters[1:], 2)
        body = self._incident(
            side,
            clock,
            player=scorer,
            other_player=assist if self._draw.random() < 0.7 else "",
            outcome="open_play",
        )
        goal, offset = self._new_id("goal"), self._offset(clock)
        corrected_at = None if corrected_in is None else offset + corrected_in
        self._say(offset, "goal", goal, body, mood="goal", corrected_at=corrected_at)
        self.tally.give(goal, side)
        return goal, body

    def _review_of(self, body: BroadcastBody, checked: str, verdict: str) -> None:
        """The record of a video review: that it began, and how it ended."""
        assert body.period is not None and body.clock is not None
        offset = self._tempo.offset_of(body.period, body.clock) + self._review * 0.3
        period, clock = self._tempo.reading_at(offset)
        review = self._new_id("var")
        begun = BroadcastBody(side=body.side, period=period, clock=clock, player=body.player, reason=checked)
        self._say(offset, "var", review, begun, mood="var")
        ended = BroadcastBody(
            side=body.side, period=period, clock=clock, player=body.player, reason=checked, outcome=verdict
        )
        self._say(offset + self._review * 0.6, "var", review, ended, mood="var", revision=2, action="modify")

    def _correct(
        self,
        event: str,
        revision: int,
        action: Action,
        kind: str,
        body: BroadcastBody,
        reason: str,
        after: float,
    ) -> None:
        assert body.period is not None and body.clock is not None
        said = BroadcastBody(
            side=body.side,
            period=body.period,
            clock=body.clock,
            player=body.player,
            other_player=body.other_player,
            outcome=body.outcome,
            reason=reason,
        )
        offset = self._tempo.offset_of(body.period, body.clock) + after
        self._say(offset, kind, event, said, mood="var", revision=revision, action=action)

    def _incident(
        self,
        side: Side,
        clock: int,
        player: str = "",
        other_player: str = "",
        outcome: str = "",
        reason: str = "",
    ) -> BroadcastBody:
        return BroadcastBody(
            side=side,
            period=1 if clock < HALF_SECONDS else 2,
            clock=clock,
            player=player or self._draw.choice(self._occasion.squad(side).starters[1:]),
            other_player=other_player,
            outcome=outcome,
            reason=reason,
        )

    def _say(
        self,
        offset: float,
        kind: str,
        event: str,
        body: BroadcastBody,
        mood: str = "talk",
        revision: int = 1,
        action: Action = "add",
        corrected_at: float | None = None,
        insert_before: str | None = None,
    ) -> None:
        record = BroadcastEvent(
            match=self._occasion.match,
            source_event_id=event,
            revision=revision,
            action=action,
            type=kind,
            occurred_at=self._occasion.at(offset),
            insert_before=insert_before,
            body=body,
        )
        self.moments.append(Moment(offset, record, mood, corrected_at))

    def _new_id(self, kind: str) -> str:
        self._issued += 1
        return f"{kind}-{self._issued}"

    def _offset(self, clock: int) -> float:
        return self._tempo.offset_of(1 if clock < HALF_SECONDS else 2, clock)

    def _some_clock(self, latest: int = 88 * 60) -> int:
        return self._draw.randrange(3 * 60, latest)

    def _some_side(self) -> Side:
        return "home" if self._draw.random() < 0.55 else "away"
