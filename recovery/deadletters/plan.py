"""Where a letter would go when it is sent again, and what the log would make of it. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from schemas import letters
from schemas.identity import hash_said, key_of
from schemas.legacy import is_same_body
from schemas.partitioning import partition_of
from schemas.raw import TOPIC_OF_SOURCE, DerivedRecord, source_of
from schemas.validation import ReadRecord, Rejection, parse, read
from storage.dead_letters import Letter, Logged

EVENT, REPEAT, REFUSED = "event", "repeat", "refused"


class Identity(NamedTuple):
    """What a record counts as once: its key, and the body that a repeat must have."""

    key: bytes
    body_hash: bytes
    is_fact: bool
    value: bytes  # as it was or will be sent


class Step(NamedTuple):
    """A letter on its way back: the record, where it belongs, and what is expected of it."""

    letter: int
    match: str | None
    topic: str  # without the installation's prefix
    partition: int
    key: bytes | None
    value: bytes
    identity: Identity | None  # None: no record that could be one event
    expected: str  # EVENT, REPEAT or REFUSED
    why: str  # of REPEAT and REFUSED
    is_corrected: bool


def identify(found: ReadRecord, value: bytes) -> Identity:
    is_fact = not isinstance(found.event, DerivedRecord)
    return Identity(key_of(found.event), hash_said(found.said), is_fact, value)


def is_repeat(identity: Identity, logged: Logged) -> bool:
    """Whether the log has this very record; of derived ones the first write wins, whatever it says."""
    return not identity.is_fact or is_same_body(logged.body_hash, identity.body_hash, identity.value)


def identities(found: Iterable[Letter]) -> list[bytes]:
    """The event keys to look up for `plan`."""
    return [key_of(event) for letter in found if not isinstance(event := parse(letter.value), Rejection)]


def plan(found: Iterable[Letter], shards: int, logged: Mapping[bytes, Logged]) -> list[Step]:
    """A step for each letter, in their order.

    A record goes to the topic of its source and the partition of its match,
    wherever it was found; what is no record goes back to where it came from.
    """
    return [_step(letter, shards, logged) for letter in found]


def _step(letter: Letter, shards: int, logged: Mapping[bytes, Logged]) -> Step:
    value, is_corrected = letter.value, letter.corrected is not None
    found = read(value)
    if isinstance(found, Rejection):
        why = f"{found.reason}: {found.detail}"
        place = (letter.match, letter.topic, letter.partition, letter.key)
        return Step(letter.letter, *place, value, None, REFUSED, why, is_corrected)
    event = found.event
    identity = identify(found, value)
    expected, why = _expectation(identity, logged.get(identity.key))
    topic, partition = TOPIC_OF_SOURCE[source_of(event)], partition_of(event.match, shards)
    place = (event.match, topic, partition, event.match.encode())
    return Step(letter.letter, *place, value, identity, expected, why, is_corrected)


def _expectation(identity: Identity, there: Logged | None) -> tuple[str, str]:
    if there is None:
        return EVENT, ""
    where = f"shard {there.shard} position {there.position}"
    if is_repeat(identity, there):
        return REPEAT, f"it is {where} already"
    return REFUSED, f"{letters.CONFLICTING_DUPLICATE}: {where} has this identity with another body"


def waves(steps: Iterable[Step]) -> list[list[Step]]:
    """Steps that may be under way together, one wave after the other.

    A lane reads the topics of a match in an order of its own. So a wave has
    records of one topic only for each match, and the next wave starts when
    all of them are answered: the order in a match is that of its letters.
    """
    made: list[list[Step]] = []
    last: dict[str | tuple[str, int], tuple[int, str]] = {}  # match, or where it came from -> wave, topic
    for step in steps:
        group = step.match or (step.topic, step.partition)
        wave, topic = last.get(group, (0, step.topic))
        if topic != step.topic:
            wave += 1
        last[group] = wave, step.topic
        if wave == len(made):
            made.append([])
        made[wave].append(step)
    return made
