"""Connection strings for PostgreSQL's programs: what a process list shows must hold no password."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo


@contextmanager
def safe_conninfo(dsn: str, application: str) -> Iterator[str]:
    """The same connection, with its password in a file that only we can read, gone afterwards."""
    parts = conninfo_to_dict(dsn)
    password = parts.pop("password", None)
    parts["application_name"] = application
    if password is None:
        yield make_conninfo("", **parts)
        return
    descriptor, name = tempfile.mkstemp(prefix="touchline-pgpass-")  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"*:*:*:*:{str(password).replace(chr(92), chr(92) * 2).replace(':', chr(92) + ':')}\n")
        yield make_conninfo("", passfile=name, **parts)
    finally:
        Path(name).unlink(missing_ok=True)


def at_port(dsn: str, port: int) -> str:
    """The same database and role, on a port of loopback."""
    parts = conninfo_to_dict(dsn)
    for name in ("hostaddr", "host", "port"):
        parts.pop(name, None)
    return make_conninfo("", host="127.0.0.1", port=port, **parts)
