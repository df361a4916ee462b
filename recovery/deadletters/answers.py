"""What the log made of records that were sent again."""

from collections.abc import Callable, Mapping, Sequence, Set
from typing import NamedTuple

from recovery.deadletters.plan import is_repeat
from recovery.deadletters.sending import Sent
from schemas.letters import Origin
from storage.dead_letters import EVENT, PARKED, REFUSED, REPEAT, DeadLetters, Logged, Rejected

_LOOK_EVERY_SECONDS = 0.05


class Answer(NamedTuple):
    """What became of a record: one of EVENT, REPEAT, PARKED and REFUSED, and where."""

    state: str
    detail: str


def answer(
    sent: Sent,
    logged: Mapping[bytes, Logged],
    rejected: Mapping[Origin, Rejected],
    parked: Set[Origin] = frozenset(),
) -> Answer | None:
    """The log's answer; None while there is none."""
    if sent.origin in parked:
        return Answer(PARKED, f"it waits, in front of the others, until {sent.step.match} is released")
    refused = rejected.get(sent.origin)
    if refused is not None:
        return Answer(REFUSED, f"dead letter {refused.letter}, {refused.reason}: {refused.detail}")
    identity = sent.step.identity
    there = logged.get(identity.key) if identity else None
    if identity is None or there is None:
        return None
    where = f"shard {there.shard} position {there.position}, seq {there.seq} of {sent.step.match}"
    if (there.topic, there.shard, there.offset) == sent.origin:
        return Answer(EVENT, where)
    # What the log has, it keeps: another body can only become a dead letter.
    return Answer(REPEAT, where) if is_repeat(identity, there) else None


def wait_for_answers(
    desk: DeadLetters,
    sent: Sequence[Sent],
    seconds: float,
    clock: Callable[[], float],
    pause: Callable[[float], None],
) -> dict[int, Answer]:
    """Letter -> answer, of those that were answered within so many seconds."""
    answers: dict[int, Answer] = {}
    waiting = list(sent)
    until = clock() + seconds
    while True:
        logged = desk.logged([one.step.identity.key for one in waiting if one.step.identity])
        rejected = desk.rejected([one.origin for one in waiting])
        parked = desk.parked_origins([one.origin for one in waiting])
        for one in waiting:
            found = answer(one, logged, rejected, parked)
            if found is not None:
                answers[one.step.letter] = found
        waiting = [one for one in waiting if one.step.letter not in answers]
        if not waiting or clock() >= until:
            return answers
        pause(_LOOK_EVERY_SECONDS)
