"""Step `enrich`: what depends on the event alone. Pure.

What depends on order (score, seq, minute of a running match) is the
append's business: see schemas/fold.py.
"""

from schemas.batch import Entry, Event, EventBatch
from schemas.weight import importance_of, language_of


def enrich(batch: EventBatch) -> EventBatch:
    """Add importance and language to every event of a batch."""
    entries: list[Entry] = [_enriched(entry) if type(entry) is Event else entry for entry in batch.entries]
    return batch._replace(entries=entries)


def _enriched(event: Event) -> Event:
    raw = event.raw
    return Event(
        event.key,
        event.body_hash,
        raw,
        event.offset,
        event.value,
        event.occurred_at,
        event.record,
        importance_of(raw),
        language_of(raw),
    )
