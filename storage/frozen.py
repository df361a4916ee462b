"""The log as of one moment, for readers that take their time."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.types.string import ByteaBinaryLoader

from storage.connect import connect

_BOUNDS = ("statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout")


def connect_unhurried(dsn: str, application: str) -> psycopg.Connection:
    """Connect without a writer's bounds on time; JSON columns come as the bytes that are stored."""
    connection = connect(dsn, application)
    for bound in _BOUNDS:
        connection.execute(psycopg.sql.SQL("SET {} = 0").format(psycopg.sql.Identifier(bound)))
    connection.adapters.register_loader("json", ByteaBinaryLoader)
    return connection


@contextmanager
def frozen(dsn: str, application: str) -> Iterator[psycopg.Connection]:
    """Open one REPEATABLE READ transaction: whatever is read belongs to the moment of the first statement.

    Raises psycopg.OperationalError when the database is away.
    """
    with connect_unhurried(dsn, application) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield connection
