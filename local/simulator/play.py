"""What happens all the time in a match: passes, readings, posts. Pure."""

import random
from collections.abc import Iterator
from heapq import merge
from typing import NamedTuple

from local.simulator.occasion import Occasion, other
from local.simulator.plot import Moment, Plot
from local.simulator.posts import write_post
from schemas.raw import (
    BroadcastBody,
    BroadcastEvent,
    RawEvent,
    SensorBody,
    SensorEvent,
    Side,
    SocialBody,
    SocialEvent,
)

_LENGTH, _WIDTH = 105.0, 68.0  # metres

# Shares of the records between the incidents: stadiums speak most.
_SENSORS, _BROADCAST, _SOCIAL = 0.6, 0.3, 0.1
_EXCITED_SECONDS = 0.05  # of the playing time: how long people post about one thing


class Said(NamedTuple):
    """A record as its source says it, before anything happens to it on the way."""

    offset: float
    record: RawEvent
    moment: Moment | None  # set when it belongs to the plot


def play(draw: random.Random, occasion: Occasion, plot: Plot, rate: float, until: float) -> Iterator[Said]:
    """All records of a match in order of offset; `rate` is in records a second."""
    told = (Said(moment.offset, moment.record, moment) for moment in plot.moments)
    return merge(told, _between(draw, occasion, plot, rate, until), key=_offset_of)


def _offset_of(said: Said) -> float:
    return said.offset


def _between(
    draw: random.Random, occasion: Occasion, plot: Plot, rate: float, until: float
) -> Iterator[Said]:
    pitch, stadium, crowd = (
        _Pitch(draw, occasion),
        _Stadium(draw, occasion),
        _Crowd(draw, occasion, plot, until),
    )
    offset = 0.0
    while True:
        offset += draw.uniform(0.5, 1.5) / rate
        if offset >= until:
            return
        kind = draw.random()
        record: RawEvent
        if kind < _SENSORS:
            record = stadium.reading(offset)
        elif kind < _SENSORS + _BROADCAST and occasion.tempo.is_playing(offset):
            record = pitch.touch(offset)
        else:
            record = crowd.post(offset)
        yield Said(offset, record, None)


class _Pitch:
    """The ball and who has it."""

    def __init__(self, draw: random.Random, occasion: Occasion) -> None:
        self._draw = draw
        self._occasion = occasion
        self._issued = 0
        self._side: Side = "home"
        self._holder = occasion.home.starters[-1]
        self._x, self._y = _LENGTH / 2, _WIDTH / 2

    def touch(self, offset: float) -> BroadcastEvent:
        """The next thing that is done with the ball."""
        draw = self._draw
        chance = draw.random()
        if chance < 0.62:
            return self._pass(offset)
        if chance < 0.80:
            return self._event(offset, "carry")
        if chance < 0.90:
            return self._event(offset, "pressure", side=other(self._side))
        if chance < 0.93:
            self._x = _LENGTH - 12
            shot = self._event(
                offset, "shot", outcome=draw.choice(("saved", "blocked", "off_target", "post"))
            )
            self._lose()
            return shot
        if chance < 0.96:
            return self._event(offset, "foul", side=other(self._side))
        kind = draw.choice(("corner", "throw_in", "clearance", "offside", "interception"))
        event = self._event(offset, kind)
        self._lose()
        return event

    def _pass(self, offset: float) -> BroadcastEvent:
        receiver = self._draw.choice(self._occasion.squad(self._side).starters)
        complete = self._draw.random() < 0.82
        event = self._event(
            offset, "pass", other_player=receiver, outcome="complete" if complete else "incomplete"
        )
        self._x = min(_LENGTH, max(0.0, self._x + self._draw.gauss(4, 12)))
        self._y = min(_WIDTH, max(0.0, self._y + self._draw.gauss(0, 10)))
        if complete:
            self._holder = receiver
        else:
            self._lose()
        return event

    def _lose(self) -> None:
        self._side = other(self._side)
        self._holder = self._draw.choice(self._occasion.squad(self._side).starters)
        self._x, self._y = _LENGTH - self._x, _WIDTH - self._y

    def _event(
        self, offset: float, kind: str, side: Side | None = None, other_player: str = "", outcome: str = ""
    ) -> BroadcastEvent:
        self._issued += 1
        period, clock = self._occasion.tempo.reading_at(offset)
        player = self._holder if side is None else self._draw.choice(self._occasion.squad(side).starters)
        return BroadcastEvent(
            match=self._occasion.match,
            source_event_id=f"play-{self._issued}",
            revision=1,
            type=kind,
            occurred_at=self._occasion.at(offset),
            body=BroadcastBody(
                side=side or self._side,
                period=period,
                clock=clock,
                player=player,
                other_player=other_player,
                outcome=outcome,
                x=round(self._x, 1),
                y=round(self._y, 1),
            ),
        )


class _Stadium:
    """Tags on the players and in the ball."""

    def __init__(self, draw: random.Random, occasion: Occasion) -> None:
        self._draw = draw
        self._occasion = occasion
        self._issued = 0
        players = (*occasion.home.starters, *occasion.away.starters)
        self._tags = [(f"tag-{number}", player) for number, player in enumerate(players, 1)]
        self._places = {tag: (draw.uniform(5, 100), draw.uniform(3, 65)) for tag, _ in self._tags}
        self._pulses = {tag: draw.randrange(95, 130) for tag, _ in self._tags}

    def reading(self, offset: float) -> SensorEvent:
        """A place, a pulse or the speed of the ball."""
        draw = self._draw
        chance = draw.random()
        tag, player = draw.choice(self._tags)
        if chance < 0.75:
            dx, dy = draw.gauss(0, 1.5), draw.gauss(0, 1.5)
            x, y = self._places[tag]
            x, y = min(_LENGTH, max(0.0, x + dx)), min(_WIDTH, max(0.0, y + dy))
            self._places[tag] = x, y
            body = SensorBody(
                sensor=tag,
                player=player,
                x=round(x, 2),
                y=round(y, 2),
                speed=round((dx**2 + dy**2) ** 0.5, 2),
            )
            return self._event(offset, "position", body)
        if chance < 0.95:
            pulse = self._pulses[tag] = min(200, max(60, self._pulses[tag] + draw.randrange(-3, 4)))
            return self._event(offset, "heart_rate", SensorBody(sensor=tag, player=player, heart_rate=pulse))
        return self._event(
            offset, "ball_speed", SensorBody(sensor="ball", speed=round(draw.uniform(3, 33), 1))
        )

    def _event(self, offset: float, kind: str, body: SensorBody) -> SensorEvent:
        self._issued += 1
        return SensorEvent(
            match=self._occasion.match,
            source_event_id=f"reading-{self._issued}",
            type=kind,
            occurred_at=self._occasion.at(offset),
            body=body,
        )


class _Crowd:
    """People who post about what they just saw."""

    def __init__(self, draw: random.Random, occasion: Occasion, plot: Plot, until: float) -> None:
        self._draw = draw
        self._occasion = occasion
        self._issued = 0
        self._moods = [moment for moment in plot.moments if moment.mood != "talk"]
        self._excited = until * _EXCITED_SECONDS

    def post(self, offset: float) -> SocialEvent:
        about = self._about(offset)
        occasion, draw = self._occasion, self._draw
        side: Side = draw.choice(("home", "away"))
        names = {"home": occasion.home.club, "away": occasion.away.club, "club": occasion.squad(side).club}
        names["player"] = draw.choice(occasion.squad(side).starters)
        if about is not None:
            body = about.record.body
            names["player"] = body.player or names["player"]
            names["club"] = occasion.squad(body.side or side).club
        post = write_post(draw, about.mood if about else "talk", names)
        self._issued += 1
        return SocialEvent(
            match=occasion.match,
            source_event_id=f"post-{self._issued}",
            type="post",
            occurred_at=occasion.at(offset),
            body=SocialBody(author=post.author, text=post.text, language=post.language),
        )

    def _about(self, offset: float) -> Moment | None:
        """The last exciting moment, while people still talk of it."""
        recent = [moment for moment in self._moods if 0 <= offset - moment.offset < self._excited]
        return recent[-1] if recent and self._draw.random() < 0.8 else None
