"""When the log passed a reading of a match's clock."""

from datetime import datetime

from schemas.live import decode_live
from schemas.raw import BroadcastBody, BroadcastEvent
from storage.connect import connect

_PAGE_EVENTS = 1_000
_AFTER = """
SELECT seq, appended_at, convert_to(payload::text, 'UTF8') FROM events
WHERE match = %(match)s AND seq > %(seq)s ORDER BY seq LIMIT %(limit)s
"""


def passed_at(dsn: str, match: str, moment: tuple[int, int]) -> datetime | None:
    """When the first event beyond a moment, as (period, seconds), was appended; None without one.

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
                if isinstance(event, BroadcastEvent) and _is_beyond(event.body, moment):
                    found: datetime = appended_at
                    return found
            if len(rows) < _PAGE_EVENTS:
                return None


def _is_beyond(body: BroadcastBody, moment: tuple[int, int]) -> bool:
    return body.period is not None and body.clock is not None and (body.period, body.clock) > moment
