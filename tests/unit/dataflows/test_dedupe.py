"""Step `dedupe`: marks what it has seen, drops nothing, and may forget everything."""

import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from dataflows.dedupe import FINGERPRINTS_KEPT, SNAPSHOT_FINGERPRINTS, FingerprintRing, RingState
from schemas.batch import Entry, Event, EventBatch, event_of
from schemas.letters import DeadLetter, Origin
from schemas.raw import RawEvent
from tests.event_builders import KICK_OFF, a_pass, as_read

HOUR = timedelta(hours=1)
FAR = datetime(2199, 6, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def later() -> datetime:
    return KICK_OFF + 24 * HOUR


def a_ring(
    state: RingState | None, now: Callable[[], datetime] = later, kept: int = FINGERPRINTS_KEPT
) -> FingerprintRing:
    return FingerprintRing(HOUR, now, state, kept)


def _entry(raw: RawEvent, offset: int = 0) -> Event:
    return event_of(as_read(raw), offset, b"")


def _batch(*raws: RawEvent) -> EventBatch:
    entries: list[Entry] = [_entry(raw, i) for i, raw in enumerate(raws)]
    return EventBatch("broadcast-events", 0, entries, len(raws))


def test_a_repeat_is_marked_and_stays_in_the_batch() -> None:
    """The ring has no authority: it points, the append decides."""
    ring = a_ring(None)
    marked = ring.mark(_batch(a_pass("a"), a_pass("b"), a_pass("a")))
    assert len(marked.entries) == 3
    assert marked.suspects == {2}


def test_another_revision_is_no_repeat() -> None:
    """A correction is never swallowed."""
    ring = a_ring(None)
    assert ring.mark(_batch(a_pass("a"), a_pass("a", revision=1, action="cancel"))).suspects == frozenset()


def test_a_restored_ring_knows_what_it_knew() -> None:
    """A snapshot is builtins that pickle, and resumes."""
    ring = a_ring(None)
    ring.mark(_batch(a_pass("a")))
    restored = a_ring(pickle.loads(pickle.dumps(ring.snapshot())))
    assert restored.mark(_batch(a_pass("a"), a_pass("b"))).suspects == {0}


def test_a_snapshot_of_another_version_is_ignored() -> None:
    """State that nobody can read costs look-ups, not a start."""
    ring = a_ring((99, [(1, b"12345678")]))
    assert ring.mark(_batch(a_pass("a"))).suspects == frozenset()


def test_what_lies_behind_the_window_is_suspect() -> None:
    """The ring cannot vouch for what it has dropped."""
    ring = a_ring(None)
    old = a_pass("old", occurred_at=KICK_OFF)
    new = a_pass("new", occurred_at=KICK_OFF + 2 * HOUR)
    assert ring.mark(_batch(new, old)).suspects == {1}


def test_an_absurd_stamp_does_not_move_the_window() -> None:
    """One sensor with a broken clock must not make everybody else suspect for an hour."""
    ring = a_ring(None)
    now = a_pass("now", occurred_at=KICK_OFF, ingested_at=KICK_OFF)
    broken = a_pass("broken", occurred_at=KICK_OFF + 5 * HOUR, ingested_at=KICK_OFF)
    after = a_pass("after", occurred_at=KICK_OFF, ingested_at=KICK_OFF)
    assert ring.mark(_batch(now, broken, after)).suspects == {1}


def test_a_snapshot_is_bounded_and_keeps_the_newest() -> None:
    """Touched state stalls every flow epoch, so only the newest buckets are written."""
    ring = a_ring(None)
    step = timedelta(milliseconds=5)
    raws = [a_pass(f"p{i}", occurred_at=KICK_OFF + i * step) for i in range(SNAPSHOT_FINGERPRINTS + 5_000)]
    ring.mark(_batch(*raws))
    _, buckets = ring.snapshot()
    assert sum(len(packed) for _, packed in buckets) <= SNAPSHOT_FINGERPRINTS * 8
    restored = a_ring(ring.snapshot())
    assert restored.mark(_batch(raws[-1], raws[0])).suspects == {0}


@pytest.mark.parametrize("accepted", [None, FAR], ids=["not stamped", "stamped by itself"])
@pytest.mark.parametrize("place", [0, 1], ids=["the first record", "a later record"])
def test_a_stamp_ahead_of_the_lane_s_clock_is_suspect_alone(place: int, accepted: datetime | None) -> None:
    """Whatever a record says of time, and be it the first one: the lane's own clock bounds it."""
    far = replace(a_pass("far", occurred_at=FAR), ingested_at=accepted)
    raws = [a_pass(f"p{n}") for n in range(3)]
    raws.insert(place, far)
    ring = a_ring(None)
    assert ring.mark(_batch(*raws)).suspects == {place}
    assert ring.mark(_batch(a_pass("later", occurred_at=KICK_OFF))).suspects == frozenset()


def test_a_snapshot_that_believed_too_much_is_put_right() -> None:
    """A store that was written before keeps the window of 2199 otherwise, over every restart."""
    fooled = a_ring(None, now=lambda: FAR)
    fooled.mark(_batch(a_pass("far", occurred_at=FAR)))
    ring = a_ring(fooled.snapshot())
    assert ring.mark(_batch(a_pass("b"), a_pass("c"))).suspects == frozenset()


def test_a_record_of_1970_makes_nobody_a_suspect() -> None:
    """A sensor without a battery for its clock, in front of everything else and in between."""
    ring = a_ring(None)
    ancient = [a_pass(f"old{n}", occurred_at=EPOCH + timedelta(hours=n)) for n in range(1, 4)]
    assert ring.mark(_batch(ancient[0], a_pass("a"), ancient[1], a_pass("b"))).suspects == {2}
    assert ring.mark(_batch(ancient[2], a_pass("c"))).suspects == {0}


def test_a_backlog_an_hour_old_is_no_suspect() -> None:
    """Records that nobody stamped, read an hour late: the clock bounds what is ahead, not what is behind."""
    ring = a_ring(None, now=lambda: KICK_OFF + HOUR)
    raws = [a_pass(f"p{n}", occurred_at=KICK_OFF + n * timedelta(minutes=2)) for n in range(30)]
    assert ring.mark(_batch(*raws)).suspects == frozenset()
    assert ring.mark(_batch(*raws)).suspects == set(range(30))


def test_a_lane_whose_clock_is_behind_suspects_and_recovers() -> None:
    """Everything is looked up until the clock is right; then nothing of it is left."""
    told = [KICK_OFF - 24 * HOUR]
    ring = a_ring(None, now=lambda: told[-1])
    assert ring.mark(_batch(a_pass("a"), a_pass("b"))).suspects == {0, 1}
    told.append(KICK_OFF + HOUR)
    assert ring.mark(_batch(a_pass("c"), a_pass("d"))).suspects == frozenset()


def test_memory_is_bounded_and_what_was_forgotten_is_suspect() -> None:
    """However fast events come, the oldest go; nobody vouches for their time again."""
    ring = a_ring(None, kept=100)
    raws = [a_pass(f"p{n}", occurred_at=KICK_OFF + n * timedelta(seconds=1)) for n in range(300)]
    ring.mark(_batch(*raws))
    assert ring.mark(_batch(raws[0], raws[-1])).suspects == {0, 1}
    assert ring.mark(_batch(a_pass("new", occurred_at=KICK_OFF))).suspects == {0}


def test_dead_letters_pass_through() -> None:
    """A batch keeps its letters where they were."""
    letter = DeadLetter("empty", "no value", Origin("broadcast-events", 0, 7), None, b"")
    batch = EventBatch("broadcast-events", 0, [letter, _entry(a_pass("a"))], 9)
    assert a_ring(None).mark(batch).entries == batch.entries
