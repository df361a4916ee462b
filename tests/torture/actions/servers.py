"""Harm to PostgreSQL and Redis."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from random import Random

import psycopg
from redis import Redis, RedisError

from tests.torture.actions.holding import pause_server, signal_and_return
from tests.torture.actions.registry import action
from tests.torture.rig import Rig

# Sessions only: who may end those of its own role may not end an autovacuum worker.
_OTHERS = (
    "FROM pg_stat_activity WHERE datname = current_database()"
    " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
)
_LARGEST_CUT = 200_000  # bytes of the append-only file: what a second of load writes, and more


# -- PostgreSQL


@action(needs="postgres")
async def kill_postgres(rig: Rig, draw: Random) -> None:
    """SIGKILL the database server."""
    await signal_and_return(rig, "postgres", signal.SIGKILL)


@action(needs="postgres")
async def stop_postgres_at_once(rig: Rig, draw: Random) -> None:
    """Stop the database without a checkpoint (immediate shutdown)."""
    await signal_and_return(rig, "postgres", signal.SIGQUIT)


@action(needs="postgres")
async def restart_postgres(rig: Rig, draw: Random) -> None:
    """Restart the database in order (fast shutdown)."""
    await signal_and_return(rig, "postgres", signal.SIGINT)


@action(needs="postgres")
async def kill_a_backend(rig: Rig, draw: Random) -> None:
    """SIGKILL one backend: PostgreSQL ends all sessions and recovers."""

    def pick() -> int | None:
        with psycopg.connect(rig.settings.postgres, autocommit=True) as connection:
            pids = connection.execute(f"SELECT pid {_OTHERS} ORDER BY pid").fetchall()
            return int(draw.choice(pids)[0]) if pids else None

    if (pid := await asyncio.to_thread(pick)) is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    await rig.until_serves("postgres")


@action(weight=1.5, needs="postgres")
async def terminate_backends(rig: Rig, draw: Random) -> None:
    """End every session of the platform."""

    def end() -> None:
        with psycopg.connect(rig.settings.postgres, autocommit=True) as connection:
            connection.execute(f"SELECT pg_terminate_backend(pid) {_OTHERS}")

    await asyncio.to_thread(end)


@action(needs="postgres")
async def pause_postgres(rig: Rig, draw: Random) -> None:
    """SIGSTOP the database and all its backends for seconds."""
    await pause_server(rig, "postgres", draw.uniform(1, 5))


@action(weight=0.7, needs="postgres")
async def long_snapshot(rig: Rig, draw: Random) -> None:
    """Hold a snapshot open for seconds, so that dead rows stay."""

    with psycopg.connect(rig.settings.postgres) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM events")
        await asyncio.sleep(draw.uniform(3, 6))


@action(weight=0.7, needs="postgres")
async def no_connections_left(rig: Rig, draw: Random) -> None:
    """Take every connection that PostgreSQL has, those of the platform included."""
    taken: list[psycopg.Connection] = []

    def take() -> None:
        with suppress(psycopg.OperationalError):
            while True:
                taken.append(psycopg.connect(rig.settings.postgres, autocommit=True))

    def end_others() -> None:
        ours = [connection.info.backend_pid for connection in taken]
        taken[0].execute(f"SELECT pg_terminate_backend(pid) {_OTHERS} AND pid <> ALL(%s)", (ours,))

    try:
        await asyncio.to_thread(take)
        await asyncio.to_thread(end_others)
        await asyncio.to_thread(take)
        await asyncio.sleep(draw.uniform(1, 3))
    finally:
        for connection in taken:
            connection.close()


# -- Redis


def _redis(rig: Rig) -> Redis:
    return Redis.from_url(rig.settings.redis, socket_timeout=5)


@action(needs="redis")
async def kill_redis(rig: Rig, draw: Random) -> None:
    """SIGKILL Redis; its append-only file is whole."""
    await signal_and_return(rig, "redis", signal.SIGKILL)


@action(needs="redis")
async def cut_redis(rig: Rig, draw: Random) -> None:
    """SIGKILL Redis and cut the end of its append-only file, as a power cut does."""
    cut = draw.randrange(_LARGEST_CUT)

    def shorten() -> None:
        files = sorted((rig.settings.data / "redis" / "appendonlydir").glob("*.incr.*"), key=_number)
        if files:
            os.truncate(files[-1], max(0, files[-1].stat().st_size - cut))

    await rig.restart("redis", shorten)
    await rig.until_serves("redis")


def _number(file: Path) -> int:
    return int(file.name.split(".")[-3])


@action(needs="redis")
async def flush_redis(rig: Rig, draw: Random) -> None:
    """FLUSHALL."""
    await asyncio.to_thread(lambda: _redis(rig).flushall())


@action(needs="redis")
async def trim_stream(rig: Rig, draw: Random) -> None:
    """XTRIM streams, to nothing or to their last entry; they keep their last id."""

    def trim() -> None:
        redis = _redis(rig)
        for name in _some(draw, redis):
            redis.xtrim(name, maxlen=draw.choice((0, 1)), approximate=False)

    await asyncio.to_thread(trim)


@action(needs="redis")
async def delete_stream(rig: Rig, draw: Random) -> None:
    """DEL a stream."""

    def delete() -> None:
        redis = _redis(rig)
        for name in _some(draw, redis):
            redis.delete(name)

    await asyncio.to_thread(delete)


def _some(draw: Random, redis: Redis) -> list[bytes]:
    names = sorted(redis.scan_iter("ev:*"))
    return draw.sample(names, min(len(names), draw.randint(1, 3)))


@action(needs="redis")
async def fill_redis(rig: Rig, draw: Random) -> None:
    """Let Redis run out of memory for seconds."""

    def limit(to: str) -> None:
        with suppress(RedisError):
            _redis(rig).config_set("maxmemory", to)

    await asyncio.to_thread(limit, "1mb")
    try:
        await asyncio.sleep(draw.uniform(1, 3))
    finally:
        await asyncio.to_thread(limit, "0")


@action(needs="redis")
async def pause_redis(rig: Rig, draw: Random) -> None:
    """SIGSTOP Redis for seconds."""
    await pause_server(rig, "redis", draw.uniform(1, 5))
