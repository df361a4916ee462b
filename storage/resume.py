"""Where a lane reads on: the log says.

Every row, dead letter, parked event and obeyed control carries its origin,
and a checkpoint row per shard and second keeps the look at the log's end short. Origins name a
topic's life by number, so an offset never points into a recreated topic.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import psycopg

from schemas import letters


class TopicLife(NamedTuple):
    """One life of a topic: recreate it, and its id is another."""

    name: str  # as in schemas.raw.RAW_TOPICS, without the installation's prefix
    cluster_id: str
    topic_id: str


class TopicReplacedError(RuntimeError):
    """The log was fed from another life of this topic, or from another cluster.

    Offsets do not carry over, so reading on would lose or mix records.
    """

    def __init__(self, life: TopicLife, known: TopicLife) -> None:
        super().__init__(
            f"topic {life.name} has id {life.topic_id} on cluster {life.cluster_id}, but the log was fed from"
            f" id {known.topic_id} on cluster {known.cluster_id}. If that is meant, python -m recovery topics"
            " adopt lets lanes read the new one, from its beginning."
        )
        self.life = life
        self.known = known


_REGISTER = """
INSERT INTO topics (name, cluster_id, topic_id) VALUES (%(name)s, %(cluster_id)s, %(topic_id)s)
ON CONFLICT (cluster_id, name, topic_id) DO NOTHING
"""

_NUMBERS = """
SELECT name, cluster_id, topic_id, topic FROM topics WHERE name = ANY(%s) ORDER BY topic
"""

_CHECKPOINT = """
SELECT position, next_offsets FROM checkpoints
WHERE shard = %(shard)s ORDER BY saved_at DESC, position DESC LIMIT 1
"""

_TAIL = """
SELECT topic, max(source_offset) + 1 FROM events
WHERE shard = %(shard)s AND position > %(position)s GROUP BY topic
"""

_LETTERS = """
SELECT t.topic, l.source_offset + 1 FROM topics AS t
CROSS JOIN LATERAL (
    SELECT d.source_offset FROM dead_letters AS d
    WHERE d.topic = t.topic AND d.partition = %(shard)s
    ORDER BY d.source_offset DESC LIMIT 1
) AS l
"""

_PARKED = """
SELECT t.topic, l.source_offset + 1 FROM topics AS t
CROSS JOIN LATERAL (
    SELECT p.source_offset FROM parked AS p
    WHERE p.topic = t.topic AND p.shard = %(shard)s
    ORDER BY p.source_offset DESC LIMIT 1
) AS l
"""

_CONTROLS = """
SELECT t.topic, l.source_offset + 1 FROM topics AS t
CROSS JOIN LATERAL (
    SELECT c.source_offset FROM controls AS c
    WHERE c.topic = t.topic AND c.shard = %(shard)s
    ORDER BY c.source_offset DESC LIMIT 1
) AS l
"""

# One for all that is missing: there may be millions, and none has anything to show. Under the shard's
# lock like every letter, so that those of a partition commit in the order of their numbers.
_NOTE_REMOVED = """
INSERT INTO dead_letters (topic, partition, source_offset, reason, detail, original, rejected_at)
SELECT %(topic)s, locked.shard, %(first)s - 1, %(reason)s, %(detail)s, '', %(now)s
FROM (SELECT d.shard FROM delivery_shards AS d WHERE d.shard = %(shard)s FOR UPDATE) AS locked
ON CONFLICT (topic, partition, source_offset) DO NOTHING
RETURNING letter
"""

# Like every commit without events it leaves a token, or a failover would take it unseen.
_LEAVE = """
INSERT INTO commit_tokens (shard, number, token)
SELECT
    %(shard)s, coalesce(max(l.number), 0) + 1,
    md5(coalesce(max(l.token::text), '') || %(detail)s || %(topic)s::text)::uuid
FROM (
    SELECT t.number, t.token FROM commit_tokens AS t
    WHERE t.shard = %(shard)s ORDER BY t.number DESC LIMIT 1
) AS l
"""

_PRUNE = """
DELETE FROM checkpoints WHERE ctid IN (
    SELECT old.ctid FROM checkpoints AS old
    WHERE old.shard = %(shard)s AND old.saved_at < (
        SELECT max(c.saved_at) - interval '1 hour' FROM checkpoints AS c WHERE c.shard = %(shard)s
    )
    LIMIT 20000
)
"""


def register_topics(connection: psycopg.Connection, lives: Sequence[TopicLife]) -> dict[str, int]:
    """Number the lives of topics; raise TopicReplacedError when the log knows another life of one."""
    names = [life.name for life in lives]
    known = {row[0]: TopicLife(*row[:3]) for row in connection.execute(_NUMBERS, (names,))}
    for life in lives:
        if life.name in known and known[life.name] != life:
            raise TopicReplacedError(life, known[life.name])
        # Not for those that are there: a refused insert uses up a number all the same.
        if life.name not in known:
            connection.execute(_REGISTER, life._asdict())
    return {row[0]: row[3] for row in connection.execute(_NUMBERS, (names,))}


def known_lives(connection: psycopg.Connection, names: Sequence[str]) -> list[TopicLife]:
    """The lives that the log was fed from, oldest first."""
    return [TopicLife(*row[:3]) for row in connection.execute(_NUMBERS, (names,))]


def adopt_lives(connection: psycopg.Connection, lives: Sequence[TopicLife]) -> None:
    """Let the log be fed from these lives from now on; one that it knows already changes nothing.

    A new number has no offsets in the log, so a lane reads it from its beginning.
    """
    for life in lives:
        connection.execute(_REGISTER, life._asdict())


def next_offsets(connection: psycopg.Connection, shard: int) -> dict[int, int]:
    """Topic number -> next offset to read, for the partition that feeds a shard."""
    found = connection.execute(_CHECKPOINT, {"shard": shard}).fetchone()
    position, saved = found or (0, {})
    following = {int(topic): offset for topic, offset in saved.items()}
    for query in (_TAIL, _LETTERS, _PARKED, _CONTROLS):
        for topic, offset in connection.execute(query, {"shard": shard, "position": position}):
            following[topic] = max(following.get(topic, 0), offset)
    return following


def note_removed(
    connection: psycopg.Connection, shard: int, topic: int, following: int, first: int, now: datetime
) -> None:
    """Say by a dead letter that records from `following` up to `first` left Kafka before they were read.

    Reading goes on at `first`. Said again it changes nothing.
    """
    detail = (
        f"offsets {following} to {first - 1} ({first - following} records) left Kafka before they were read"
    )
    said = {"topic": topic, "shard": shard, "first": first, "detail": detail, "now": now}
    with connection.transaction():
        noted = connection.execute(_NOTE_REMOVED, {**said, "reason": letters.REMOVED_UNREAD})
        if noted.fetchone() is not None:
            connection.execute(_LEAVE, said)


def by_name(offsets: Mapping[int, int], numbers: Mapping[str, int]) -> dict[str, int]:
    """The same offsets by topic name."""
    return {name: offsets[number] for name, number in numbers.items() if number in offsets}


def prune_checkpoints(connection: psycopg.Connection, shard: int) -> None:
    """Drop the shard's checkpoints older than an hour before the newest, as many as are quickly dropped."""
    connection.execute(_PRUNE, {"shard": shard})
