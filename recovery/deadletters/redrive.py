"""Send letters back, in the order of each match, and note what the log made of them."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from recovery.audit.meter import Meter
from recovery.deadletters.answers import Answer, wait_for_answers
from recovery.deadletters.plan import REFUSED, Step, identities, plan, waves
from recovery.deadletters.sending import RawProducer
from storage.dead_letters import SENT, Change, DeadLetters, Letter, Wanted


class Ways(NamedTuple):
    """How a redrive goes about it."""

    shards: int
    who: str
    anyway: bool  # also what will surely be refused again
    answer_seconds: float


class Result(msgspec.Struct, frozen=True):
    """What a redrive did about a letter."""

    letter: int
    match: str | None
    to: str  # topic[partition], with @offset once it was written
    state: str  # event, repeat, parked, refused, sent (not answered), or held_back
    detail: str


HELD_BACK = "held_back"


def steps_of(desk: DeadLetters, wanted: Wanted, shards: int) -> Iterator[list[Step]]:
    """What is to be done, a few letters at a time; reads only."""
    for letters in desk.chunks(wanted):
        yield _steps(desk, letters, shards)


def _steps(desk: DeadLetters, letters: list[Letter], shards: int) -> list[Step]:
    return plan(letters, shards, desk.logged(identities(letters)))


def redrive(
    desk: DeadLetters, producer: RawProducer, wanted: Wanted, ways: Ways, meter: Meter
) -> Iterator[Result]:
    """Send the letters, and tell of each what came of it; raise NotSentError.

    `wanted` names each letter: what is refused becomes a new letter, which
    options alone would choose again and again.

    A letter is noted as sent before it is: a crash leaves it so, and sending
    it again is safe. Once a wave is not answered in time nothing more is sent:
    what follows in its matches must not come before it.
    """
    for letters in desk.chunks(wanted):
        steps = _steps(desk, letters, ways.shards)
        held = [] if ways.anyway else [step for step in steps if step.expected == REFUSED]
        for step in held:
            yield Result(step.letter, step.match, target(step), HELD_BACK, step.why)
        meter.advance(len(held))
        for wave in waves(step for step in steps if ways.anyway or step.expected != REFUSED):
            unanswered = 0
            for result in _send(desk, producer, wave, ways):
                unanswered += result.state == SENT
                yield result
            meter.advance(len(wave))
            if unanswered:
                return


def _send(desk: DeadLetters, producer: RawProducer, wave: list[Step], ways: Ways) -> Iterator[Result]:
    desk.record(ways.who, "redrive", [Change(s.letter, SENT, f"to {target(s)}") for s in wave])
    sent = producer.send(wave)
    notes = [Change(one.step.letter, SENT, "", one.origin) for one in sent]
    desk.record(ways.who, "sent", notes)
    answers = wait_for_answers(desk, sent, ways.answer_seconds, time.monotonic, time.sleep)
    settled = [Change(letter, answer.state, answer.detail) for letter, answer in answers.items()]
    desk.record(ways.who, "answered", settled)
    for step, origin in sent:
        answer = answers.get(step.letter, Answer(SENT, "no answer yet"))
        yield Result(step.letter, step.match, f"{target(step)}@{origin.offset}", answer.state, answer.detail)


def target(step: Step) -> str:
    return f"{step.topic}[{step.partition}]"
