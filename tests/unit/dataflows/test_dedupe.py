"""Step `dedupe`: marks what it has seen, drops nothing, and may forget everything."""

import pickle
from datetime import timedelta

from dataflows.dedupe import SNAPSHOT_FINGERPRINTS, FingerprintRing
from schemas.batch import Entry, Event, EventBatch, event_of
from schemas.letters import DeadLetter, Origin
from schemas.raw import RawEvent
from tests.event_builders import KICK_OFF, a_pass, as_read

HOUR = timedelta(hours=1)


def _entry(raw: RawEvent, offset: int = 0) -> Event:
    return event_of(as_read(raw), offset, b"")


def _batch(*raws: RawEvent) -> EventBatch:
    entries: list[Entry] = [_entry(raw, i) for i, raw in enumerate(raws)]
    return EventBatch("broadcast-events", 0, entries, len(raws))


def test_a_repeat_is_marked_and_stays_in_the_batch() -> None:
    """The ring has no authority: it points, the append decides."""
    ring = FingerprintRing(HOUR, None)
    marked = ring.mark(_batch(a_pass("a"), a_pass("b"), a_pass("a")))
    assert len(marked.entries) == 3
    assert marked.suspects == {2}


def test_another_revision_is_no_repeat() -> None:
    """A correction is never swallowed."""
    ring = FingerprintRing(HOUR, None)
    assert ring.mark(_batch(a_pass("a"), a_pass("a", revision=1, action="cancel"))).suspects == frozenset()


def test_a_restored_ring_knows_what_it_knew() -> None:
    """A snapshot is builtins that pickle, and resumes."""
    ring = FingerprintRing(HOUR, None)
    ring.mark(_batch(a_pass("a")))
    restored = FingerprintRing(HOUR, pickle.loads(pickle.dumps(ring.snapshot())))
    assert restored.mark(_batch(a_pass("a"), a_pass("b"))).suspects == {0}


def test_a_snapshot_of_another_version_is_ignored() -> None:
    """State that nobody can read costs look-ups, not a start."""
    ring = FingerprintRing(HOUR, (99, [(1, b"12345678")]))
    assert ring.mark(_batch(a_pass("a"))).suspects == frozenset()


def test_what_lies_behind_the_window_is_suspect() -> None:
    """The ring cannot vouch for what it has dropped."""
    ring = FingerprintRing(HOUR, None)
    old = a_pass("old", occurred_at=KICK_OFF)
    new = a_pass("new", occurred_at=KICK_OFF + 2 * HOUR)
    assert ring.mark(_batch(new, old)).suspects == {1}


def test_an_absurd_stamp_does_not_move_the_window() -> None:
    """One sensor with a broken clock must not make everybody else suspect for an hour."""
    ring = FingerprintRing(HOUR, None)
    now = a_pass("now", occurred_at=KICK_OFF, ingested_at=KICK_OFF)
    broken = a_pass("broken", occurred_at=KICK_OFF + 5 * HOUR, ingested_at=KICK_OFF)
    after = a_pass("after", occurred_at=KICK_OFF, ingested_at=KICK_OFF)
    assert ring.mark(_batch(now, broken, after)).suspects == {1}


def test_a_snapshot_is_bounded_and_keeps_the_newest() -> None:
    """Touched state stalls every flow epoch, so only the newest buckets are written."""
    ring = FingerprintRing(HOUR, None)
    step = timedelta(milliseconds=5)
    raws = [a_pass(f"p{i}", occurred_at=KICK_OFF + i * step) for i in range(SNAPSHOT_FINGERPRINTS + 5_000)]
    ring.mark(_batch(*raws))
    _, buckets = ring.snapshot()
    assert sum(len(packed) for _, packed in buckets) <= SNAPSHOT_FINGERPRINTS * 8
    restored = FingerprintRing(HOUR, ring.snapshot())
    assert restored.mark(_batch(raws[-1], raws[0])).suspects == {0}


def test_a_stamp_far_ahead_moves_the_window_by_a_minute_at_most() -> None:
    """A producer without our adapters has no second clock to check against."""
    ring = FingerprintRing(HOUR, None)
    far = a_pass("far", occurred_at=KICK_OFF + 1_000 * HOUR)
    assert ring.mark(_batch(a_pass("a"), far, a_pass("b"))).suspects == {1}


def test_memory_is_bounded_and_what_was_forgotten_is_suspect() -> None:
    """However fast events come, the oldest go; nobody vouches for their time again."""
    ring = FingerprintRing(HOUR, None, kept=100)
    raws = [a_pass(f"p{n}", occurred_at=KICK_OFF + n * timedelta(seconds=1)) for n in range(300)]
    ring.mark(_batch(*raws))
    assert ring.mark(_batch(raws[0], raws[-1])).suspects == {0, 1}
    assert ring.mark(_batch(a_pass("new", occurred_at=KICK_OFF))).suspects == {0}


def test_dead_letters_pass_through() -> None:
    """A batch keeps its letters where they were."""
    letter = DeadLetter("empty", "no value", Origin("broadcast-events", 0, 7), None, b"")
    batch = EventBatch("broadcast-events", 0, [letter, _entry(a_pass("a"))], 9)
    assert FingerprintRing(HOUR, None).mark(batch).entries == batch.entries
