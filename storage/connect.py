"""Connections to Postgres, with the bounds that every session needs."""

import psycopg

# Plans that do not depend on statistics: a session plans its queries once, while
# the log is empty, and would go on reading all of it from front to back. Every
# query of the hot path is a look-up in an index, whatever the size of the log.
PLANS_TO_AVOID = ("enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin")
BY_INDEX = " ".join(f"-c {plan}=off" for plan in PLANS_TO_AVOID)
# A writer that hangs must fail rather than hold a shard's lock: the longest
# healthy append takes well under a second.
_WRITER_OPTIONS = (
    "-c statement_timeout=30s -c lock_timeout=15s "
    "-c idle_in_transaction_session_timeout=15s -c transaction_timeout=60s "
    "-c synchronous_commit=on -c TimeZone=UTC "
)
_CONNECT_SECONDS = 5


def connect(dsn: str, application: str) -> psycopg.Connection:
    """Open an autocommit connection to the primary; raise psycopg.OperationalError when there is none.

    Direct, not through a transaction pooler: an append is one multi-statement
    query on one session.
    """
    connection = psycopg.connect(
        dsn,
        autocommit=True,
        application_name=application,
        options=_WRITER_OPTIONS + BY_INDEX,
        connect_timeout=_CONNECT_SECONDS,
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        # Keepalives rest while sent data waits for an answer: without this a
        # network that swallows everything blocks a commit for a quarter of an hour.
        tcp_user_timeout=15_000,
        target_session_attrs="read-write",
    )
    connection.prepare_threshold = 2
    return connection
