"""Where letters go, what is expected of them, and which may be under way together."""

import pytest

from recovery.deadletters.answers import answer
from recovery.deadletters.plan import EVENT, REFUSED, REPEAT, plan, waves
from recovery.deadletters.sending import Sent
from schemas.identity import body_hash, key_of
from schemas.letters import Origin
from schemas.partitioning import partition_of
from storage.dead_letters import Logged, Rejected
from tests.event_builders import MATCH, a_goal, a_pass, a_reading, a_translation, encoded
from tests.letter_builders import a_letter

SHARDS = 8
HOME = partition_of(MATCH, SHARDS)


def _logged(event_bytes_of: bytes, is_fact: bool = True) -> Logged:
    return Logged(event_bytes_of, is_fact, "broadcast-events", 7, HOME, 3, 2)


def test_record_goes_where_it_belongs_wherever_it_lay() -> None:
    astray = a_letter(encoded(a_goal()), topic="sensor-events", partition=(HOME + 1) % SHARDS)
    (step,) = plan([astray], SHARDS, {})
    assert (step.topic, step.partition, step.key) == ("broadcast-events", HOME, MATCH.encode())
    assert step.expected == EVENT


def test_what_is_no_record_goes_back_to_where_it_came_from_and_is_refused_again() -> None:
    (step,) = plan([a_letter(b"{oops", topic="social-events", partition=5)], SHARDS, {})
    assert (step.topic, step.partition, step.identity) == ("social-events", 5, None)
    assert step.expected == REFUSED
    assert step.why.startswith("malformed_json")


def test_corrected_copy_goes_instead_of_the_original() -> None:
    (step,) = plan([a_letter(b"{oops", corrected=encoded(a_pass()))], SHARDS, {})
    assert step.value == encoded(a_pass())
    assert step.is_corrected


def test_what_the_log_has_is_a_repeat_and_another_body_a_conflict() -> None:
    goal, other = a_goal(), a_goal(player="Somebody else")
    there = {key_of(goal): _logged(body_hash(goal))}
    same, different = plan([a_letter(encoded(goal)), a_letter(encoded(other))], SHARDS, there)
    assert same.expected == REPEAT
    assert different.expected == REFUSED
    assert "conflicting_duplicate" in different.why


def test_of_derived_records_the_first_write_wins() -> None:
    there = {key_of(a_translation()): _logged(b"another!", is_fact=False)}
    (step,) = plan([a_letter(encoded(a_translation()))], SHARDS, there)
    assert step.expected == REPEAT


def test_a_match_has_one_topic_under_way_at_a_time() -> None:
    values = [
        encoded(a_pass("1")),
        encoded(a_pass("2")),
        encoded(a_reading("3")),
        encoded(a_pass("4")),
        encoded(a_reading("5", match="other")),
        encoded(a_pass("6", match="other")),
    ]
    steps = plan([a_letter(value, letter=n) for n, value in enumerate(values, 1)], SHARDS, {})
    assert [[step.letter for step in wave] for wave in waves(steps)] == [[1, 2, 5], [3, 6], [4]]
    assert waves([]) == []


ORIGIN = Origin("broadcast-events", HOME, 40)


def _sent(value: bytes) -> Sent:
    (step,) = plan([a_letter(value)], SHARDS, {})
    return Sent(step, ORIGIN)


@pytest.mark.parametrize(("offset", "state"), [(40, EVENT), (7, REPEAT)])
def test_the_origin_of_the_row_tells_an_event_from_a_repeat(offset: int, state: str) -> None:
    goal = a_goal()
    row = Logged(body_hash(goal), True, "broadcast-events", offset, HOME, 3, 2)
    found = answer(_sent(encoded(goal)), {key_of(goal): row}, {})
    assert found is not None
    assert found.state == state


def test_another_body_in_the_log_is_no_answer_until_the_letter_is_there() -> None:
    goal, other = a_goal(), a_goal(player="Somebody else")
    there = {key_of(goal): _logged(body_hash(goal))}
    assert answer(_sent(encoded(other)), there, {}) is None
    found = answer(_sent(encoded(other)), there, {ORIGIN: Rejected(9, "conflicting_duplicate", "")})
    assert found is not None
    assert found.state == REFUSED


def test_nothing_in_the_log_is_no_answer() -> None:
    assert answer(_sent(encoded(a_goal())), {}, {}) is None
    assert answer(_sent(b"{"), {}, {}) is None
