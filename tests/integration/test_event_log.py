"""The event log sink on a real PostgreSQL: order, repeats, conflicts, fences, and what a failure leaves."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from dataflows.decode import decode_batch
from dataflows.enrichment import enrich
from schemas import letters
from schemas.batch import EventBatch, RawBatch
from schemas.fold import advance, empty_image
from schemas.identity import ZERO_CHAIN, body_hash, key_of, next_chain
from schemas.live import LiveEvent, decode_live
from schemas.partitioning import partition_of
from schemas.raw import RawEvent
from settings import Settings
from sinks.committer import Committer, CommitterFailedError, Limits
from sinks.live_streams import Delivery
from sinks.outages import HistoryLostError
from storage import resume
from storage.append import StaleFenceError
from storage.resume import TopicLife, TopicReplacedError
from tests.event_builders import MATCH, a_cancel_of, a_goal, a_pass, encoded
from tests.fixtures.waiting import eventually

SHARDS = 2
SHARD = partition_of(MATCH, SHARDS)
LIFE = TopicLife("broadcast-events", "cluster", "life-1")
LONG = timedelta(seconds=20)


class Recorded:
    """A publisher that keeps what it is offered."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []

    def offer(self, deliveries: Sequence[Delivery]) -> bool:
        self.deliveries += deliveries
        return True


class Writer:
    """A committer with one shard, and the offsets of what it is given."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.recorded = Recorded()
        self.fatal: list[BaseException] = []
        with closing(psycopg.connect(settings.postgres, autocommit=True)) as connection:
            topics = resume.register_topics(connection, [LIFE])
        self.committer = Committer(
            settings.postgres,
            topics,
            Limits(12_000, 4_000, 5),
            self.recorded,
            lambda: datetime.now(UTC),
            self.fatal.append,
        )
        self.offset = 0

    def batch(self, *values: bytes | RawEvent, suspects: Sequence[int] = ()) -> EventBatch:
        records: list[tuple[int, bytes | None, bytes | None]] = []
        for value in values:
            records.append((self.offset, b"k", value if isinstance(value, bytes) else encoded(value)))
            self.offset += 1
        decoded = decode_batch(RawBatch("broadcast-events", SHARD, records), SHARDS)
        return enrich(decoded)._replace(suspects=frozenset(suspects))

    def write(self, *values: bytes | RawEvent, suspects: Sequence[int] = ()) -> None:
        self.committer.write(SHARD, [self.batch(*values, suspects=suspects)])

    def settle(self) -> None:
        self.committer.drain(SHARD)


NewWriter = Callable[[], Writer]


@pytest.fixture
def new_writer(installation: Settings) -> Iterator[NewWriter]:
    """Writers of the same shard, each taking it from the one before."""
    made: list[Writer] = []

    def make() -> Writer:
        made.append(Writer(installation))
        made[-1].committer.own(SHARD, None)
        return made[-1]

    yield make
    for writer in made:
        writer.committer.close()


@pytest.fixture
def database(installation: Settings) -> Iterator[psycopg.Connection]:
    with closing(psycopg.connect(installation.postgres, autocommit=True)) as connection:
        yield connection


def _log(database: psycopg.Connection) -> list[LiveEvent]:
    rows = database.execute(
        "SELECT convert_to(payload::text, 'UTF8') FROM events WHERE shard = %s ORDER BY position", (SHARD,)
    )
    return [decode_live(row[0]) for row in rows]


def _letters(database: psycopg.Connection) -> list[tuple[str, int]]:
    rows = database.execute("SELECT reason, source_offset FROM dead_letters ORDER BY source_offset")
    return [(row[0], row[1]) for row in rows]


def _generation(database: psycopg.Connection) -> int:
    row = database.execute("SELECT generation FROM delivery_shards WHERE shard = %s", (SHARD,)).fetchone()
    assert row is not None
    return int(row[0])


def _assert_sound(database: psycopg.Connection) -> None:
    """Positions and seqs gapless, chain and running score as computed anew."""
    rows = database.execute(
        "SELECT position, seq, event_key, body_hash, chain, convert_to(payload::text, 'UTF8')"
        " FROM events WHERE shard = %s ORDER BY position",
        (SHARD,),
    ).fetchall()
    chain, image = ZERO_CHAIN, empty_image(MATCH)
    for expected, (position, seq, key, body, stored, payload) in enumerate(rows, start=1):
        live = decode_live(payload)
        chain = next_chain(chain, key.bytes, body.to_bytes(8, "big", signed=True))
        image = advance(image, live.event)
        assert (position, seq, stored.bytes) == (expected, image.seq, chain)
        assert (live.seq, live.score) == (image.seq, image.score)
        assert key.bytes == key_of(live.event)
        assert body.to_bytes(8, "big", signed=True) == body_hash(live.event)


def test_events_are_appended_in_order_with_running_score(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """Order is decided by the append alone, and each row tells the score after it."""
    writer = new_writer()
    goal = a_goal("g1", side="home")
    writer.write(a_pass("p1"), goal)
    writer.write(a_cancel_of(goal), a_goal("g2", side="away"))
    writer.settle()
    log = _log(database)
    assert [live.seq for live in log] == [1, 2, 3, 4]
    assert [(live.score.home, live.score.away) for live in log] == [(0, 0), (1, 0), (0, 0), (0, 1)]
    _assert_sound(database)


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
    assert len(_log(database)) == 2
    assert first.committer.counts["repeats"] == second.committer.counts["repeats"] == 1
    assert _letters(database) == []


def test_suspicion_alone_drops_nothing(new_writer: NewWriter, database: psycopg.Connection) -> None:
    """A ring full of collisions, or one from another log, marks everything; the log knows better."""
    writer = new_writer()
    for number in range(20):
        writer.write(*[a_pass(f"p{number}-{n}") for n in range(3)], suspects=[0, 1, 2])
    writer.settle()
    assert len(_log(database)) == 60
    assert writer.committer.counts["looked_up"] == 60
    _assert_sound(database)


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
    assert len(_log(database)) == 10 + 1_100 + 2
    _assert_sound(database)


def test_the_same_identity_with_another_body_is_a_conflict(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """A source that says two things under one identity is told so, by a dead letter with its origin."""
    writer = new_writer()
    writer.write(a_goal("g1", player="A"), a_goal("g1", player="B"), suspects=[1])
    writer.settle()
    assert len(_log(database)) == 1
    assert _letters(database) == [(letters.CONFLICTING_DUPLICATE, 1)]


def test_dead_letters_are_stored_with_the_batch(new_writer: NewWriter, database: psycopg.Connection) -> None:
    """Reason, origin and original bytes are in the append's transaction."""
    writer = new_writer()
    writer.write(a_pass("p1"), b"not json", a_pass("p2"))
    writer.settle()
    assert [live.event.source_event_id for live in _log(database)] == ["p1", "p2"]
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
    stale.write(a_pass("lost"))
    with pytest.raises(CommitterFailedError):
        stale.settle()
    assert isinstance(stale.fatal[0], StaleFenceError)
    successor.write(a_pass("p2"))
    successor.settle()
    assert [live.event.source_event_id for live in _log(database)] == ["p1", "p2"]


def test_cut_connections_lose_and_repeat_nothing(new_writer: NewWriter, database: psycopg.Connection) -> None:
    """A session that is killed at any moment is opened again, and the batch is folded anew."""
    writer = new_writer()
    stop = threading.Event()

    def cut() -> None:
        with closing(psycopg.connect(writer.settings.postgres, autocommit=True)) as other:
            for _ in range(10):
                stop.wait(0.2)
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name LIKE 'touchline-enrich%%' AND datname = current_database()"
                )

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        for number in range(300):
            writer.write(*[a_pass(f"p{number}-{n}") for n in range(10)])
            stop.wait(0.005)
        writer.settle()
    finally:
        stop.set()
        cutter.join()
    assert writer.fatal == []
    assert len(_log(database)) == 3_000
    _assert_sound(database)


def test_an_event_that_postgres_refuses_becomes_a_letter_alone(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """The input is bisected: its neighbours are stored, in order."""
    database.execute(
        "ALTER TABLE events ADD CONSTRAINT no_poison CHECK (payload::text NOT LIKE '%%poison%%')"
    )
    writer = new_writer()
    writer.write(a_pass("p1"), a_pass("p2"), a_pass("p3", text="poison"), a_goal("g1", side="home"))
    writer.settle()
    assert [live.event.source_event_id for live in _log(database)] == ["p1", "p2", "g1"]
    assert _letters(database) == [(letters.REFUSED_BY_STORAGE, 2)]
    _assert_sound(database)


def test_a_retired_match_gets_dead_letters(new_writer: NewWriter, database: psycopg.Connection) -> None:
    """The name of a match outlives its data."""
    first = new_writer()
    first.write(a_pass("p1"))
    first.settle()
    database.execute("UPDATE matches SET retired_at = now() WHERE match = %s", (MATCH,))
    second = new_writer()
    second.write(a_pass("p2"))
    second.settle()
    assert _letters(database) == [(letters.RETIRED_MATCH, 1 - 1)]


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
    position, chain = writer.committer.drain(SHARD)

    before = _generation(database)
    writer.committer.own(SHARD, (position, chain))
    assert _generation(database) == before
    writer.committer.own(SHARD, (position + 1, chain))
    assert _generation(database) > before


def test_rows_that_the_database_lost_are_not_buried(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """After a failover to a standby that lagged, the lane stops by name, and its next start reads again."""
    writer = new_writer()
    writer.write(*[a_pass(f"p{n}") for n in range(10)])
    writer.settle()
    before = _generation(database)
    database.execute("DELETE FROM events WHERE shard = %s AND position > 7", (SHARD,))
    writer.write(a_pass("next"))
    with pytest.raises(CommitterFailedError):
        writer.settle()
    assert isinstance(writer.fatal[0], HistoryLostError)
    assert _generation(database) > before
    assert len(_log(database)) == 7


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
    _assert_sound(database)
