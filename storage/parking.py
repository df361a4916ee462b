"""Parked matches: what the lanes were told, which events wait, and how they leave in order."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import psycopg

from schemas.letters import Origin

# How a match stands; one that nobody ever parked is open.
OPEN, PARKED, RELEASING = "open", "parked", "releasing"


class Waiting(NamedTuple):
    """A parked event, with what its fold needs beside its record."""

    parked: int
    topic: int  # number of its life
    topic_name: str
    offset: int
    importance: int
    language: str
    original: bytes


class ParkedMatch(NamedTuple):
    """A match that is parked, as people look at it."""

    match: str
    shard: int
    state: str
    issued_by: str
    because: str
    since: datetime
    waiting: int
    oldest: datetime | None


class Obeyed(NamedTuple):
    """What a lane made of a control record."""

    state: str
    obeyed_at: datetime


_STATES = """
SELECT last.match, last.state FROM (
    SELECT DISTINCT ON (c.match) c.match, c.state FROM controls AS c
    WHERE c.shard = %s ORDER BY c.match, c.control DESC
) AS last
WHERE last.state <> 'open'
"""

_WAITING = """
SELECT p.parked, p.topic, t.name, p.source_offset, p.importance, p.language, p.original
FROM parked AS p
INNER JOIN topics AS t ON p.topic = t.topic
WHERE p.shard = %s AND p.match = %s
ORDER BY p.parked LIMIT %s
"""

# What a redrive wrote, by its audit trail: the letter was in front of what waits.
_REDRIVEN = """
SELECT DISTINCT ON (p.parked)
    p.parked, p.topic, t.name, p.source_offset, p.importance, p.language, p.original
FROM letter_actions AS a
INNER JOIN topics AS t ON a.topic = t.name
INNER JOIN parked AS p
    ON a.partition = p.shard AND t.topic = p.topic AND a.source_offset = p.source_offset
WHERE a.what = 'sent' AND a.partition = %(shard)s AND p.match = %(match)s
ORDER BY p.parked LIMIT %(limit)s
"""

_LEAVE = "DELETE FROM parked WHERE parked = ANY(%s::bigint [])"

_PARKED_MATCHES = """
SELECT last.match, last.shard, last.state, last.issued_by, last.because, last.obeyed_at, w.waiting, w.oldest
FROM (
    SELECT DISTINCT ON (c.shard, c.match) c.* FROM controls AS c
    ORDER BY c.shard, c.match, c.control DESC
) AS last
CROSS JOIN LATERAL (
    SELECT count(*) AS waiting, min(p.parked_at) AS oldest FROM parked AS p
    WHERE p.shard = last.shard AND p.match = last.match
) AS w
WHERE last.state <> 'open'
ORDER BY last.match
"""

# What is too malformed to name its match counts as of the match that its key names.
_IS_SEEN = """
SELECT
    EXISTS (SELECT 1 FROM matches AS m WHERE m.match = %(match)s)
    OR EXISTS (
        SELECT 1 FROM dead_letters AS d
        WHERE coalesce(convert_to(d.match, 'UTF8'), d.record_key) = convert_to(%(match)s::text, 'UTF8')
    )
"""

# A topic that was recreated has the same offsets again: its newest life is the one that is written to.
_OBEYED = """
SELECT c.state, c.obeyed_at FROM controls AS c
WHERE
    c.topic = (SELECT max(t.topic) FROM topics AS t WHERE t.name = %s)
    AND c.shard = %s AND c.source_offset = %s
"""

_PARKED_ORIGINS = """
SELECT o.name, o.partition, o.source_offset
FROM unnest(%s::text [], %s::smallint [], %s::bigint []) AS o (name, partition, source_offset)
INNER JOIN parked AS p
    ON
        p.shard = o.partition AND p.source_offset = o.source_offset
        AND p.topic = (SELECT max(t.topic) FROM topics AS t WHERE t.name = o.name)
"""


def match_states(connection: psycopg.Connection, shard: int) -> dict[str, str]:
    """The matches of a shard that are parked or being released."""
    return dict(connection.execute(_STATES, (shard,)).fetchall())


def waiting_events(connection: psycopg.Connection, shard: int, match: str, limit: int) -> list[Waiting]:
    """The events of a parked match that came first, in order, without regard to redriven letters."""
    return [Waiting(*row) for row in connection.execute(_WAITING, (shard, match, limit))]


def redriven_events(connection: psycopg.Connection, shard: int, match: str, limit: int) -> list[Waiting]:
    """The redriven letters among the events of a parked match, in order: they leave first."""
    asked = {"shard": shard, "match": match, "limit": limit}
    return [Waiting(*row) for row in connection.execute(_REDRIVEN, asked)]


def leave(connection: psycopg.Connection, waiting: Sequence[Waiting]) -> None:
    """Take events out of the car park, in the transaction that puts them into the log."""
    connection.execute(_LEAVE, ([event.parked for event in waiting],))


def parked_matches(connection: psycopg.Connection) -> list[ParkedMatch]:
    """All matches that are parked or being released."""
    return [ParkedMatch(*row) for row in connection.execute(_PARKED_MATCHES)]


def is_seen(connection: psycopg.Connection, match: str) -> bool:
    """Whether an event or a dead letter of a match ever came; not yet for what no lane has read."""
    row = connection.execute(_IS_SEEN, {"match": match}).fetchone()
    return row is not None and row[0]


def obeyed(connection: psycopg.Connection, origin: Origin) -> Obeyed | None:
    """What became of a control record; None while no lane has read it."""
    row = connection.execute(_OBEYED, origin).fetchone()
    return None if row is None else Obeyed(*row)


def parked_origins(connection: psycopg.Connection, origins: Sequence[Origin]) -> set[Origin]:
    """Of these origins, those whose events are parked."""
    columns = list(map(list, zip(*origins, strict=True))) if origins else [[], [], []]
    return {Origin(*row) for row in connection.execute(_PARKED_ORIGINS, columns)}
