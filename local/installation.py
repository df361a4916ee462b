"""What an installation needs on its servers before the first event: topics and tables."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import redis
from msgspec.structs import replace

from local.servers.postgres import BINARIES, ROLE
from local.topics import create_topics, delete_topics
from settings import Settings
from storage.migrate import migrate


def prepare(settings: Settings, replicas: int) -> None:
    """Create topics and tables; does nothing where they are there."""
    create_topics(settings, replicas)
    migrate(settings.postgres)


@contextmanager
def throwaway(stack: Settings, name: str, shards: int, redis_database: int, data: Path) -> Iterator[Settings]:
    """An empty installation beside others on the same servers, gone afterwards.

    It has its own database, topics and Redis database, so what runs in one
    is invisible to the others.
    """
    settings = replace(
        stack,
        shards=shards,
        data=data,
        topic_prefix=f"{name}.",
        postgres=_with_path(stack.postgres, name),
        redis=_with_path(stack.redis, str(redis_database)),
    )
    _database_command("createdb", stack, name)
    try:
        with redis.Redis.from_url(settings.redis) as server:
            server.flushdb()
        prepare(settings, replicas=1)
        yield settings
        delete_topics(settings)
    finally:
        _database_command("dropdb", stack, "--force", name)


def _with_path(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))


def _database_command(program: str, settings: Settings, *arguments: str) -> None:
    server = ["--host=127.0.0.1", f"--port={settings.port('postgres')}", f"--username={ROLE}"]
    argv = [str(BINARIES / program), *server, *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{program} {' '.join(arguments)}: {done.stderr.strip()}")
