"""Step `dedupe`: a memory of the last hour's identities that saves look-ups and has no authority.

"Seen" makes the append look the key up, "not seen" lets it append without
looking, and the log's unique key catches what the ring did not know. So a
ring that is lost, stale or full of collisions costs time, never an event,
and its snapshot may hold the newest minutes only.

A stamp is believed as far as the lane's own clock allows: one sensor that says
2199 is a suspect itself, and nobody else becomes one.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from bytewax.operators import StatefulBatchLogic

from schemas.batch import Event, EventBatch

STATE_VERSION = 1
BUCKET_SECONDS = 10
AHEAD_SECONDS = 60  # how far a stamp may lie before the lane's clock, as no two clocks agree
# What a snapshot keeps of a partition. Every epoch sorts, pickles and writes what was
# touched on the worker's thread, and a goal waits meanwhile: 20,000 took a tenth of a
# lane that had little else to do.
SNAPSHOT_FINGERPRINTS = 4_000
# What a partition keeps in memory: about 100 bytes each. A rate above 70/s fills
# it before the window is over, and the oldest times become suspects.
FINGERPRINTS_KEPT = 250_000
_FINGERPRINT = slice(8, 16)  # bytes of the event key; 8 of them collide once in 10**9 or so

RingState = tuple[int, list[tuple[int, bytes]]]  # version, (bucket, packed fingerprints) oldest first


class FingerprintRing(StatefulBatchLogic[EventBatch, EventBatch, RingState]):
    """The identities of one partition, in buckets of event time.

    One key per partition: Bytewax runs the keys of one activation in sorted
    order, so a ring keyed by time slot would reorder a match.
    """

    def __init__(
        self,
        window: timedelta,
        now: Callable[[], datetime],
        state: RingState | None,
        kept: int = FINGERPRINTS_KEPT,
    ) -> None:
        """Go on with the buckets of a snapshot; those ahead of the clock `now` are forgotten."""
        self._now = now
        self._kept = kept
        self._buckets_kept = max(1, int(window.total_seconds()) // BUCKET_SECONDS)
        self._buckets: dict[int, set[bytes]] = {}
        self._newest = 0
        self._oldest = -1  # the newest bucket that the ring cannot vouch for
        self._held = 0  # fingerprints
        if state is not None and state[0] == STATE_VERSION:
            furthest = self._furthest()
            for bucket, packed in state[1]:
                if bucket > furthest:
                    continue
                self._buckets[bucket] = {packed[i : i + 8] for i in range(0, len(packed), 8)}
                self._newest = max(self._newest, bucket)
                self._held += len(self._buckets[bucket])

    def on_batch(self, values: list[EventBatch]) -> tuple[list[EventBatch], bool]:
        return [self.mark(batch) for batch in values], False

    def mark(self, batch: EventBatch) -> EventBatch:
        """Note what the batch holds, and mark what was seen before or lies outside the window."""
        suspects: list[int] = []
        buckets = self._buckets
        oldest = self._oldest
        furthest = self._furthest()
        for index, entry in enumerate(batch.entries):
            if type(entry) is not Event:
                continue
            bucket = int(entry.occurred_at) // BUCKET_SECONDS
            if bucket <= oldest:
                suspects.append(index)
                continue
            seen = buckets.get(bucket)
            if seen is None:
                if bucket > self._newest and bucket > _believed(entry, furthest):
                    suspects.append(index)
                    continue
                oldest = self._open(bucket)
                seen = buckets[bucket] = set()
            fingerprint = entry.key[_FINGERPRINT]
            if fingerprint in seen:
                suspects.append(index)
            else:
                seen.add(fingerprint)
                self._held += 1
        while self._held > self._kept and len(self._buckets) > 1:
            self._drop(min(self._buckets))
        return batch._replace(suspects=frozenset(suspects))

    def _furthest(self) -> int:
        """The newest bucket that the lane's clock lets anybody speak of."""
        return _bucket_ahead_of(self._now())

    def _open(self, bucket: int) -> int:
        """Make room for a bucket; return the newest bucket number that is outside the window."""
        self._newest = max(self._newest, bucket)
        self._oldest = max(self._oldest, self._newest - self._buckets_kept)
        for old in [b for b in self._buckets if b <= self._oldest]:
            self._drop(old)
        return self._oldest

    def _drop(self, bucket: int) -> None:
        """Forget a bucket; from now on the ring cannot vouch for its time."""
        self._held -= len(self._buckets.pop(bucket))
        self._oldest = max(self._oldest, bucket)

    def snapshot(self) -> RingState:
        kept: list[tuple[int, bytes]] = []
        room = SNAPSHOT_FINGERPRINTS
        for bucket in sorted(self._buckets, reverse=True):
            fingerprints = self._buckets[bucket]
            if len(fingerprints) > room:
                break
            room -= len(fingerprints)
            kept.append((bucket, b"".join(fingerprints)))
        return STATE_VERSION, kept[::-1]


def _believed(event: Event, furthest: int) -> int:
    """The newest bucket to which an event may move the window.

    Never ahead of the lane's clock, nor of our clock at its acceptance: in a
    backlog that one is the stricter.
    """
    accepted = event.raw.ingested_at
    return furthest if accepted is None else min(furthest, _bucket_ahead_of(accepted))


def _bucket_ahead_of(moment: datetime) -> int:
    return (int(moment.timestamp()) + AHEAD_SECONDS) // BUCKET_SECONDS


def ring(window: timedelta, now: Callable[[], datetime]) -> Callable[[Any], FingerprintRing]:
    """The builder that `stateful_batch` wants: state of a snapshot, or None, to logic."""

    def resume(state: RingState | None) -> FingerprintRing:
        return FingerprintRing(window, now, state)

    return resume
