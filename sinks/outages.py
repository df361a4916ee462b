"""What an error of Postgres means for an append."""

from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple

import psycopg

from storage.append import HEAD_MOVED

# psycopg raises some of these as InternalError, so the state decides, not the class.
_OUTAGE_STATES = frozenset({"25P03", "25P04", "25006", "40001", "40P01", "55P03", "57014", HEAD_MOVED})
_OUTAGE_CLASSES = ("08", "53", "57", "58")
_REFUSED_CLASSES = ("22", "23", "54")
# A column that nobody fills, or a reference that nobody made: the schema's fault, not an event's.
_SCHEMA_STATES = frozenset({"23502", "23503"})


class Verdict(Enum):
    """What to do about an error."""

    OUTAGE = auto()  # reconnect, compare the head, redo; never counted as a failed try of an event
    CONFLICT = auto()  # a key is there that the ring did not know: redo with look-up
    REFUSED = auto()  # Postgres does not take this data: find the event that it is about
    BUG = auto()  # neither: stop by name


class AppendConflictError(RuntimeError):
    """A key is in the way of an append even after looking all of them up."""


class Loss(NamedTuple):
    """What the database lacks of a shard."""

    shard: int
    committed: int  # the position up to which its events were committed
    head: int  # where they end now
    what: str  # for people


class HistoryLostError(RuntimeError):
    """The database no longer has what it had committed for this writer; every shard began a generation."""

    def __init__(self, losses: Sequence[Loss], forgotten_topics: Sequence[str] = ()) -> None:
        """`forgotten_topics` are those whose number the database no longer knows."""
        what = [loss.what for loss in losses] + [f"{name} has no number" for name in forgotten_topics]
        super().__init__(
            f"a failover or a restore took commits: {'; '.join(what)}."
            " The next start reads them again from Kafka."
        )
        self.losses = tuple(losses)
        self.forgotten_topics = tuple(forgotten_topics)


class StorageRefusesError(RuntimeError):
    """The database refuses one event after the other: the fault is its own, not theirs."""

    def __init__(self, refused: int, detail: str) -> None:
        super().__init__(
            f"PostgreSQL refused {refused} events in a row, the last one with: {detail.strip()}."
            " Its schema is not that of this version: did a migration fail, or did somebody change a table?"
        )


class LetterRefusedError(RuntimeError):
    """The database refuses a dead letter, and there is nothing left that it could become."""


def judge(error: psycopg.Error) -> Verdict:
    """Sort an error by its SQLSTATE; without one, the connection is what failed."""
    state = error.sqlstate or ""
    if state == "23505":
        return Verdict.CONFLICT
    if not state or state in _OUTAGE_STATES or state.startswith(_OUTAGE_CLASSES):
        lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return Verdict.OUTAGE if state or lost else Verdict.BUG
    if state.startswith(_REFUSED_CLASSES) and state not in _SCHEMA_STATES:
        return Verdict.REFUSED
    return Verdict.BUG
