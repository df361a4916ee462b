"""Reading the log from an event loop: a small pool, and one error for every way it can be out of reach."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, LiteralString, Self

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from storage.connect import BY_INDEX

# A reader must give up long before a fan does: the slowest healthy query
# (a page of 1,000 events) takes 5 ms.
_READER_OPTIONS = (
    "-c statement_timeout=4s -c default_transaction_read_only=on "
    "-c idle_in_transaction_session_timeout=15s -c TimeZone=UTC "
)
_CONNECT_SECONDS = 2
_WAIT_SECONDS = 2.0  # for a free connection
_WAITING = 200  # callers in line for one; the next is refused at once
# Covers what no server timeout does: a server that stopped answering.
_ANSWER_SECONDS = 6.0


class LogUnavailableError(RuntimeError):
    """Postgres did not answer; what it was asked may be asked again."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class _Verbatim(Loader):
    """Hand out JSON columns as the bytes that were stored."""

    def load(self, data: Buffer) -> bytes:
        return bytes(data)


class _Bytes(Loader):
    """Hand out UUID columns as their 16 bytes: an object of each row of a page costs more than the row."""

    def load(self, data: Buffer) -> bytes:
        return bytes.fromhex(bytes(data).decode().replace("-", ""))


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    connection.adapters.register_loader("json", _Verbatim)
    connection.adapters.register_loader("uuid", _Bytes)


class LogReader:
    """Runs queries; opens connections when they are first needed, and again after an outage."""

    def __init__(self, dsn: str, application: str, connections: int = 4) -> None:
        self._pool = AsyncConnectionPool(
            dsn,
            min_size=0,
            max_size=connections,
            open=False,
            timeout=_WAIT_SECONDS,
            max_waiting=_WAITING,
            # Each caller starts a fresh try instead of waiting for a back-off that has grown for minutes.
            reconnect_timeout=0,
            configure=_configure,
            kwargs={
                "autocommit": True,
                "application_name": application,
                "options": _READER_OPTIONS + BY_INDEX,
                "connect_timeout": _CONNECT_SECONDS,
                # Of several hosts. A standby that is behind lacks the places of readers of streams, which
                # looks like lost history. Not read-write: these sessions are read-only themselves.
                "target_session_attrs": "primary",
            },
        )

    async def __aenter__(self) -> Self:
        await self._pool.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._pool.close()

    async def rows(
        self, query: LiteralString, parameters: Mapping[str, object] | None = None
    ) -> list[tuple[Any, ...]]:
        """All rows of one query, which is one snapshot; raise LogUnavailableError."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS), self._pool.connection() as connection:
                cursor = await connection.execute(query, parameters)
                return await cursor.fetchall()
        except (PoolTimeout, TooManyRequests) as error:
            raise LogUnavailableError("no connection to Postgres") from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise LogUnavailableError(str(error).strip() or type(error).__name__) from error
        except TimeoutError as error:
            raise LogUnavailableError(f"Postgres did not answer within {_ANSWER_SECONDS:g} s") from error

    async def ping(self) -> None:
        """Ask for nothing; raise LogUnavailableError."""
        await self.rows("SELECT 1")
