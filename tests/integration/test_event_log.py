"""The event log sink on a real PostgreSQL: order, repeats, conflicts, fences."""

import psycopg
import pytest

from schemas import letters
from schemas.identity import ZERO_CHAIN
from sinks.committer import CommitterFailedError
from storage import resume
from storage.append import StaleFenceError
from storage.resume import TopicReplacedError
from tests.event_builders import MATCH, a_cancel_of, a_goal, a_pass, encoded
from tests.fixtures.log_writer import (
    LIFE,
    LONG,
    SHARD,
    NewWriter,
    assert_sound,
    generation_of,
    letters_of,
    log_of,
)
from tests.fixtures.waiting import eventually


def test_events_are_appended_in_order_with_running_score(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """Order is decided by the append alone, and each row tells the score after it."""
    writer = new_writer()
    goal = a_goal("g1", side="home")
    writer.write(a_pass("p1"), goal)
    writer.write(a_cancel_of(goal), a_goal("g2", side="away"))
    writer.settle()
    log = log_of(database)
    assert [live.seq for live in log] == [1, 2, 3, 4]
    assert [(live.score.home, live.score.away) for live in log] == [(0, 0), (1, 0), (0, 0), (0, 1)]
    assert_sound(database)


def test_what_is_committed_is_offered_for_live_delivery_as_one_chain(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """Each run continues where the one before ended."""
    writer = new_writer()
    for number in range(20):
        writer.write(a_pass(f"p{number}"))
    writer.settle()
    eventually(lambda: sum(len(d.payloads) for d in writer.recorded.deliveries) == 20, LONG)
    position, chain = 0, ZERO_CHAIN
    for delivery in writer.recorded.deliveries:
        assert (delivery.prev_position, delivery.prev_chain) == (position, chain)
        position, chain = delivery.position, delivery.chain
    assert position == 20


def test_a_repeat_leaves_no_trace(new_writer: NewWriter, database: psycopg.Connection) -> None:
    """Marked or not, from memory or from the log: the same record is one row."""
    first = new_writer()
    first.write(a_goal("g1"))
    first.write(a_goal("g1"), suspects=[0])
    first.settle()
    second = new_writer()
    second.write(a_goal("g1"), a_pass("p1"))
    second.settle()
    assert len(log_of(database)) == 2
    assert first.committer.counts["repeats"] == second.committer.counts["repeats"] == 1
    assert letters_of(database) == []


def test_suspicion_alone_drops_nothing(new_writer: NewWriter, database: psycopg.Connection) -> None:
    """A ring full of collisions, or one from another log, marks everything; the log knows better."""
    writer = new_writer()
    for number in range(20):
        writer.write(*[a_pass(f"p{number}-{n}") for n in range(3)], suspects=[0, 1, 2])
    writer.settle()
    assert len(log_of(database)) == 60
    assert writer.committer.counts["looked_up"] == 60
    assert_sound(database)


def test_an_unmarked_repeat_is_caught_by_the_unique_key(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """A ring that knows nothing costs a redo, never an event."""
    new_writer_first = new_writer()
    new_writer_first.write(*[a_pass(f"old{n}") for n in range(10)])
    new_writer_first.settle()
    writer = new_writer()
    writer.write(*[a_pass(f"p{n}") for n in range(1_100)])  # enough to trust "not seen" again
    writer.settle()
    writer.write(a_pass("fresh"), a_pass("old3"), a_pass("fresher"))
    writer.settle()
    assert writer.committer.counts["redone"] == 1
    assert len(log_of(database)) == 10 + 1_100 + 2
    assert_sound(database)


def test_the_same_identity_with_another_body_is_a_conflict(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """A source that says two things under one identity is told so, by a dead letter with its origin."""
    writer = new_writer()
    writer.write(a_goal("g1", player="A"), a_goal("g1", player="B"), suspects=[1])
    writer.settle()
    assert len(log_of(database)) == 1
    assert letters_of(database) == [(letters.CONFLICTING_DUPLICATE, 1)]


def test_another_spelling_is_a_repeat_and_another_unknown_field_a_conflict(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """From memory and from the log: what counts is all that was said, not how, nor what we know of it."""
    said = encoded(a_goal("g1")).replace(b'"body":{', b'"body":{"xg":0.5,"id":7,')
    respelt = said.replace(b'"xg":0.5,"id":7,', b' "id" : 7.0, "xg": 5e-1 , ')
    other = said.replace(b"0.5", b"0.6")
    first = new_writer()
    first.write(said)
    first.write(respelt, other, suspects=[0, 1])
    first.settle()
    second = new_writer()
    second.write(respelt, other)
    second.settle()
    assert first.committer.counts["repeats"] == second.committer.counts["repeats"] == 1
    assert [reason for reason, _ in letters_of(database)] == [letters.CONFLICTING_DUPLICATE] * 2
    assert b'"id":7' in _payload(database)
    assert b'"xg":0.5' in _payload(database)
    assert_sound(database)


def _payload(database: psycopg.Connection) -> bytes:
    row = database.execute("SELECT convert_to(payload::text, 'UTF8') FROM events").fetchone()
    assert row is not None
    return bytes(row[0])


def test_dead_letters_are_stored_with_the_batch(new_writer: NewWriter, database: psycopg.Connection) -> None:
    """Reason, origin and original bytes are in the append's transaction."""
    writer = new_writer()
    writer.write(a_pass("p1"), b"not json", a_pass("p2"))
    writer.settle()
    assert [live.event.source_event_id for live in log_of(database)] == ["p1", "p2"]
    row = database.execute("SELECT reason, source_offset, original FROM dead_letters").fetchone()
    assert row == (letters.MALFORMED_JSON, 1, b"not json")


def test_a_stale_writer_is_refused_before_it_writes(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """Whoever took the shard last writes; the one before stops and does not take it back."""
    stale = new_writer()
    stale.write(a_pass("p1"))
    stale.settle()
    successor = new_writer()
    with pytest.raises(CommitterFailedError):
        stale.write(a_pass("lost"))
        stale.settle()
    assert isinstance(stale.fatal[0], StaleFenceError)
    successor.write(a_pass("p2"))
    successor.settle()
    assert [live.event.source_event_id for live in log_of(database)] == ["p1", "p2"]


def test_a_retired_match_gets_dead_letters(new_writer: NewWriter, database: psycopg.Connection) -> None:
    """The name of a match outlives its data."""
    first = new_writer()
    first.write(a_pass("p1"))
    first.settle()
    database.execute("UPDATE matches SET retired_at = now() WHERE match = %s", (MATCH,))
    second = new_writer()
    second.write(a_pass("p2"))
    second.settle()
    assert letters_of(database) == [(letters.RETIRED_MATCH, 1 - 1)]


def test_the_log_says_where_to_read_on(new_writer: NewWriter, database: psycopg.Connection) -> None:
    """After events, letters and mere repeats, reading goes on behind the last of them."""
    writer = new_writer()
    writer.write(a_pass("p1"), b"bad")
    writer.settle()
    number = resume.register_topics(database, [LIFE])["broadcast-events"]
    assert resume.next_offsets(database, SHARD) == {number: 2}
    writer.write(a_pass("p1"), a_pass("p1"), suspects=[0, 1])
    writer.settle()
    eventually(lambda: resume.next_offsets(database, SHARD) == {number: 4}, LONG)


def test_a_recreated_topic_stops_by_name(new_writer: NewWriter, database: psycopg.Connection) -> None:
    """Offsets of another life of a topic mean other records."""
    new_writer()
    with pytest.raises(TopicReplacedError, match="life-2"):
        resume.register_topics(database, [LIFE._replace(topic_id="life-2")])


def test_a_snapshot_ahead_of_the_log_begins_a_new_life(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """History that was lost must not be continued under its old name."""
    writer = new_writer()
    writer.write(a_pass("p1"), a_pass("p2"))
    committed = writer.committer.drain(SHARD)

    before = generation_of(database)
    writer.committer.own(SHARD, committed)
    assert generation_of(database) == before
    writer.committer.own(SHARD, committed._replace(position=committed.position + 1))
    assert generation_of(database) > before


def test_starting_again_and_again_uses_up_no_numbers(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """The numbers of topics are few, and a crash loop is long."""
    numbers = [resume.register_topics(database, [LIFE]) for _ in range(3)]
    other = resume.register_topics(database, [LIFE._replace(name="sensor-events", topic_id="s-1")])
    assert numbers[0] == numbers[-1]
    assert other["sensor-events"] <= numbers[0]["broadcast-events"] + 1


def test_saved_images_are_the_fold_of_the_log(new_writer: NewWriter, database: psycopg.Connection) -> None:
    """An image is saved when a fan's view changes, and every few events; a new writer goes on from it."""
    writer = new_writer()
    writer.write(*[a_pass(f"p{n}") for n in range(7)])
    writer.settle()
    writer.write(a_goal("g1", side="home"))
    writer.settle()
    successor = new_writer()
    successor.write(a_goal("g2", side="away"))
    successor.settle()
    images = database.execute("SELECT seq, image FROM images ORDER BY seq").fetchall()
    assert [row[0] for row in images] == [7, 8, 9]
    assert images[-1][1]["score"] == {"home": 1, "away": 1}
    assert_sound(database)


def test_an_image_of_an_older_fold_is_not_trusted(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """Saved before an upgrade, by rules that are no more: the match is folded from its beginning."""
    first = new_writer()
    first.write(a_goal("g1"), a_goal("g2"), a_pass("p1"))
    first.settle()
    database.execute(
        "UPDATE images SET fold_version = fold_version - 1,"
        " image = replace(image::text, '\"home\":2', '\"home\":9')::json"
    )
    second = new_writer()
    second.write(a_cancel_of(a_goal("g1")))
    second.settle()
    assert [(live.score.home, live.score.away) for live in log_of(database)] == [
        (1, 0),
        (2, 0),
        (2, 0),
        (1, 0),
    ]
    assert_sound(database)
