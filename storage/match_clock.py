"""When the log passed a reading of a match's clock."""

from datetime import datetime

from schemas.live import decode_live
from schemas.raw import BroadcastEvent
from storage.connect import connect

_PAGE_EVENTS = 1_000
_AFTER = """
SELECT seq, appended_at, convert_to(payload::text, 'UTF8') FROM events
WHERE match = %(match)s AND seq > %(seq)s ORDER BY seq LIMIT %(limit)s
"""


def passed_at(dsn: str, match: str, clock: int) -> datetime | None:
    """When the first event at or after so many seconds of the match clock was appended; None without one.

    Raises psycopg.Error when the database cannot be asked.
    """
    seq = 0
    with connect(dsn, "touchline-match-clock") as connection:
        while True:
            rows = connection.execute(
                _AFTER, {"match": match, "seq": seq, "limit": _PAGE_EVENTS}, binary=True
            ).fetchall()
            for seq, appended_at, payload in rows:  # noqa: B007 - the last one is where the next page begins
                event = decode_live(payload).event
                reading = event.body.clock if isinstance(event, BroadcastEvent) else None
                if reading is not None and reading >= clock:
                    found: datetime = appended_at
                    return found
            if len(rows) < _PAGE_EVENTS:
                return None
