"""Dead letters as people work with them: find them, note what was done about them, and what came of it.

The rows of `dead_letters` never change. Where a letter stands and who did
what is kept beside them, by one person at a time.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from schemas.letters import Origin
from storage import parking
from storage.connect import PLANS_TO_AVOID, connect

# A letter may hold a megabyte.
CHUNK_LETTERS = 100
_LOCK = 7_011_978_432  # any number, as long as nobody else takes it

OPEN, CORRECTED, SENT = "open", "corrected", "sent"
EVENT, REPEAT, PARKED, REFUSED, DISCARDED = "event", "repeat", "parked", "refused", "discarded"
UNSETTLED = (OPEN, CORRECTED, SENT)
STATES = (*UNSETTLED, EVENT, REPEAT, PARKED, REFUSED, DISCARDED)


class LettersBusyError(RuntimeError):
    """Somebody else works on dead letters at this moment: two redrives would mix their orders."""

    def __init__(self) -> None:
        super().__init__(
            "somebody else is working on dead letters at this moment; try again when they are done"
        )


class Wanted(NamedTuple):
    """Which letters: those that fit all that is said; what is empty or None says nothing.

    What is too malformed to name its match counts as of the match that its key names.
    """

    letters: Sequence[int] = ()
    reasons: Sequence[str] = ()
    topics: Sequence[str] = ()
    match: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    states: Sequence[str] = UNSETTLED


class Group(NamedTuple):
    """Letters of one reason from one topic."""

    reason: str
    topic: str
    letters: int
    matches: int
    oldest: datetime
    newest: datetime


class Line(NamedTuple):
    """A letter without its bytes."""

    letter: int
    reason: str
    detail: str
    match: str | None
    topic: str
    partition: int
    offset: int
    rejected_at: datetime
    state: str


class Letter(NamedTuple):
    """A letter with its bytes, and with those that a person put in their place."""

    letter: int
    reason: str
    detail: str
    match: str | None
    topic: str
    partition: int
    offset: int
    rejected_at: datetime
    state: str
    key: bytes | None
    original: bytes
    corrected: bytes | None

    @property
    def value(self) -> bytes:
        """What a redrive sends."""
        return self.original if self.corrected is None else self.corrected


class Action(NamedTuple):
    """A line of the audit trail."""

    acted_at: datetime
    who: str
    what: str
    from_state: str
    to_state: str
    detail: str
    topic: str | None
    partition: int | None
    offset: int | None
    corrected: bytes | None


class Change(NamedTuple):
    """What becomes of a letter: a new state, and what belongs to it."""

    letter: int
    state: str
    detail: str = ""
    sent_to: Origin | None = None
    corrected: bytes | None = None


class Logged(NamedTuple):
    """The event that has an identity."""

    body_hash: bytes
    is_fact: bool
    topic: str
    offset: int
    shard: int
    position: int
    seq: int


class Rejected(NamedTuple):
    """The dead letter that came from an origin."""

    letter: int
    reason: str
    detail: str


_GROUPS = """
SELECT d.reason, t.name, count(*), count(DISTINCT d.match), min(d.rejected_at), max(d.rejected_at)
FROM dead_letters AS d
INNER JOIN topics AS t ON d.topic = t.topic
LEFT JOIN letter_states AS s ON d.letter = s.letter
WHERE
    (cardinality(%(letters)s::bigint []) = 0 OR d.letter = ANY(%(letters)s::bigint []))
    AND (cardinality(%(reasons)s::text []) = 0 OR d.reason = ANY(%(reasons)s::text []))
    AND (cardinality(%(topics)s::text []) = 0 OR t.name = ANY(%(topics)s::text []))
    AND (
        %(match)s::text IS NULL
        OR coalesce(convert_to(d.match, 'UTF8'), d.record_key) = convert_to(%(match)s::text, 'UTF8')
    )
    AND (%(since)s::timestamptz IS NULL OR d.rejected_at >= %(since)s::timestamptz)
    AND (%(until)s::timestamptz IS NULL OR d.rejected_at <= %(until)s::timestamptz)
    AND coalesce(s.state, 'open') = ANY(%(states)s::text [])
GROUP BY d.reason, t.name
ORDER BY count(*) DESC, d.reason, t.name
"""

_NEWEST = """
SELECT
    d.letter, d.reason, d.detail, d.match, t.name, d.partition, d.source_offset, d.rejected_at,
    coalesce(s.state, 'open')
FROM dead_letters AS d
INNER JOIN topics AS t ON d.topic = t.topic
LEFT JOIN letter_states AS s ON d.letter = s.letter
WHERE
    (cardinality(%(letters)s::bigint []) = 0 OR d.letter = ANY(%(letters)s::bigint []))
    AND (cardinality(%(reasons)s::text []) = 0 OR d.reason = ANY(%(reasons)s::text []))
    AND (cardinality(%(topics)s::text []) = 0 OR t.name = ANY(%(topics)s::text []))
    AND (
        %(match)s::text IS NULL
        OR coalesce(convert_to(d.match, 'UTF8'), d.record_key) = convert_to(%(match)s::text, 'UTF8')
    )
    AND (%(since)s::timestamptz IS NULL OR d.rejected_at >= %(since)s::timestamptz)
    AND (%(until)s::timestamptz IS NULL OR d.rejected_at <= %(until)s::timestamptz)
    AND coalesce(s.state, 'open') = ANY(%(states)s::text [])
ORDER BY d.letter DESC LIMIT %(limit)s
"""

_FROM = """
SELECT
    d.letter, d.reason, d.detail, d.match, t.name, d.partition, d.source_offset, d.rejected_at,
    coalesce(s.state, 'open'), d.record_key, d.original, s.corrected
FROM dead_letters AS d
INNER JOIN topics AS t ON d.topic = t.topic
LEFT JOIN letter_states AS s ON d.letter = s.letter
WHERE
    d.letter > %(after)s
    AND (cardinality(%(letters)s::bigint []) = 0 OR d.letter = ANY(%(letters)s::bigint []))
    AND (cardinality(%(reasons)s::text []) = 0 OR d.reason = ANY(%(reasons)s::text []))
    AND (cardinality(%(topics)s::text []) = 0 OR t.name = ANY(%(topics)s::text []))
    AND (
        %(match)s::text IS NULL
        OR coalesce(convert_to(d.match, 'UTF8'), d.record_key) = convert_to(%(match)s::text, 'UTF8')
    )
    AND (%(since)s::timestamptz IS NULL OR d.rejected_at >= %(since)s::timestamptz)
    AND (%(until)s::timestamptz IS NULL OR d.rejected_at <= %(until)s::timestamptz)
    AND coalesce(s.state, 'open') = ANY(%(states)s::text [])
ORDER BY d.letter LIMIT %(limit)s
"""

_HISTORY = """
SELECT
    acted_at, who, what, from_state, to_state, detail, topic, partition, source_offset, corrected
FROM letter_actions WHERE letter = %s ORDER BY action
"""

# One statement: all of it reads the states as they were before.
_RECORD = """
WITH changes AS (
    SELECT * FROM unnest(
        %(letters)s::bigint [], %(states)s::text [], %(details)s::text [], %(topics)s::text [],
        %(partitions)s::smallint [], %(offsets)s::bigint [], %(corrected)s::bytea []
    ) AS c (letter, state, detail, topic, partition, source_offset, corrected)
),

moved AS (
    INSERT INTO letter_states AS s (letter, state, corrected)
    SELECT c.letter, c.state, c.corrected FROM changes AS c
    ON CONFLICT (letter) DO UPDATE
    SET
        state = excluded.state,
        corrected = coalesce(excluded.corrected, s.corrected),
        changed_at = now()
)

INSERT INTO letter_actions (
    letter, who, what, from_state, to_state, detail, topic, partition, source_offset, corrected
)
SELECT
    c.letter, %(who)s, %(what)s, coalesce(s.state, 'open'), c.state, c.detail, c.topic, c.partition,
    c.source_offset, c.corrected
FROM changes AS c
LEFT JOIN letter_states AS s ON c.letter = s.letter
ORDER BY c.letter
"""

_IS_READY = "SELECT to_regclass('letter_actions') IS NOT NULL AND to_regclass('parked') IS NOT NULL"

# A command that has just ended holds its lock until the server noticed that its connection is gone.
_SHORT_WAIT = "SET LOCAL lock_timeout = '2s'"

_LOCK_LETTERS = "SELECT pg_advisory_lock(%s)"

_LOGGED = """
SELECT
    e.event_key, int8send(e.body_hash), e.is_fact, t.name, e.source_offset, e.shard, e.position, e.seq
FROM events AS e INNER JOIN topics AS t ON e.topic = t.topic
WHERE e.event_key = ANY(%s::uuid [])
"""

# A topic that was recreated has the same offsets again: its newest life is what a redrive writes to.
_REJECTED = """
SELECT o.name, o.partition, o.source_offset, d.letter, d.reason, d.detail
FROM unnest(%(topics)s::text [], %(partitions)s::smallint [], %(offsets)s::bigint [])
    AS o (name, partition, source_offset)
INNER JOIN dead_letters AS d
    ON
        d.partition = o.partition AND d.source_offset = o.source_offset
        AND d.topic = (SELECT max(t.topic) FROM topics AS t WHERE t.name = o.name)
"""


class DeadLetters:
    """The dead letters of an installation. Raises psycopg.OperationalError when the database goes away."""

    def __init__(self, dsn: str) -> None:
        self._connection = connect(dsn, "touchline-letters")
        # People look through all of them; the planner may choose how.
        for plan in PLANS_TO_AVOID:
            self._connection.execute(psycopg.sql.SQL("SET {} = on").format(psycopg.sql.Identifier(plan)))

    def __enter__(self) -> "DeadLetters":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def is_ready(self) -> bool:
        """Whether the database has the tables."""
        row = self._connection.execute(_IS_READY).fetchone()
        return row is not None and row[0]

    def work_alone(self) -> None:
        """Be the only one who works on letters until this connection ends; raise LettersBusyError."""
        try:
            with self._connection.transaction():
                self._connection.execute(_SHORT_WAIT)
                self._connection.execute(_LOCK_LETTERS, (_LOCK,))
        except psycopg.errors.LockNotAvailable as error:
            raise LettersBusyError from error

    def groups(self, wanted: Wanted) -> list[Group]:
        """How many there are of each reason and topic, the most first."""
        return [Group(*row) for row in self._connection.execute(_GROUPS, _arguments(wanted))]

    def newest(self, wanted: Wanted, limit: int) -> list[Line]:
        """The newest letters, without their bytes."""
        asked = _arguments(wanted) | {"limit": limit}
        return [Line(*row) for row in self._connection.execute(_NEWEST, asked)]

    def chunks(self, wanted: Wanted) -> Iterator[list[Letter]]:
        """The letters in their order, a few at a time; a later chunk shows what became of them by then."""
        after = 0
        while True:
            asked = _arguments(wanted) | {"after": after, "limit": CHUNK_LETTERS}
            found = [Letter(*row) for row in self._connection.execute(_FROM, asked)]
            if found:
                yield found
            if len(found) < CHUNK_LETTERS:
                return
            after = found[-1].letter

    def find(self, letter: int) -> Letter | None:
        for found in self.chunks(Wanted(letters=[letter], states=STATES)):
            return found[0]
        return None

    def history(self, letter: int) -> list[Action]:
        """What was done about a letter, in order."""
        return [Action(*row) for row in self._connection.execute(_HISTORY, (letter,))]

    def record(self, who: str, what: str, changes: Sequence[Change]) -> None:
        """Change where letters stand, and write the audit trail: all of it or nothing."""
        places = [change.sent_to or (None, None, None) for change in changes]
        arguments: dict[str, Any] = {
            "who": who,
            "what": what,
            "letters": [change.letter for change in changes],
            "states": [change.state for change in changes],
            "details": [change.detail for change in changes],
            "topics": [place[0] for place in places],
            "partitions": [place[1] for place in places],
            "offsets": [place[2] for place in places],
            "corrected": [change.corrected for change in changes],
        }
        self._connection.execute(_RECORD, arguments)

    def logged(self, keys: Sequence[bytes]) -> dict[bytes, Logged]:
        """Of these event keys, those that the log has."""
        rows = self._connection.execute(_LOGGED, ([UUID(bytes=key) for key in keys],)).fetchall()
        return {key.bytes: Logged(*rest) for key, *rest in rows}

    def rejected(self, origins: Sequence[Origin]) -> dict[Origin, Rejected]:
        """Of these origins, those that are dead letters."""
        topics, partitions, offsets = map(list, zip(*origins, strict=True)) if origins else ([], [], [])
        asked = {"topics": topics, "partitions": partitions, "offsets": offsets}
        rows = self._connection.execute(_REJECTED, asked).fetchall()
        return {Origin(*row[:3]): Rejected(*row[3:]) for row in rows}

    def parked_origins(self, origins: Sequence[Origin]) -> set[Origin]:
        """Of these origins, those whose events are parked."""
        return parking.parked_origins(self._connection, origins)

    def parked_matches(self) -> list[parking.ParkedMatch]:
        """The matches that are parked or being released."""
        return parking.parked_matches(self._connection)

    def is_seen(self, match: str) -> bool:
        """Whether an event or a dead letter of a match ever came."""
        return parking.is_seen(self._connection, match)

    def obeyed(self, origin: Origin) -> parking.Obeyed | None:
        """What became of a control record; None while no lane has read it."""
        return parking.obeyed(self._connection, origin)


def _arguments(wanted: Wanted) -> dict[str, Any]:
    """Arrays as lists: a tuple would be a row to psycopg."""
    named = wanted._asdict()
    return {name: list(value) if isinstance(value, tuple) else value for name, value in named.items()}
