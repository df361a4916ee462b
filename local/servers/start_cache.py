"""Let a Java server start from classes that were loaded and linked ahead of time.

Java's ahead-of-time cache (JEP 483, JEP 514), made once per machine from a
rehearsed start. A broker is then ready in half the time, with half the work.
"""

import fcntl
import hashlib
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from local.servers.jars import Say
from settings import ROOT

FOLDER = ROOT / ".tooling" / "start-cache"
# A class that changed, a cache that does not fit: Java says so, and starts without.
_QUIET = "-Xlog:aot*=error"


class Rehearsal(NamedTuple):
    """A start to learn from; `run` gets the options that make Java take notes, and returns when it ended."""

    name: str
    files: Iterable[Path]  # what the cache depends on: the Java runtime and the jars
    run: Callable[[tuple[str, ...]], None]


def options(rehearsal: Rehearsal, say: Say, folder: Path = FOLDER) -> tuple[str, ...]:
    """Return the options that make Java use the cache; rehearses a start first where there is none yet.

    A cache is a matter of time, not of function: where it cannot be made,
    `say` gets the reason and the server starts without.
    """
    try:
        cache = _cache(rehearsal, say, folder)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        say(f"{rehearsal.name} starts without a cache, some seconds slower: {error}")
        return ()
    return (f"-XX:AOTCache={cache}", _QUIET)


def _cache(rehearsal: Rehearsal, say: Say, folder: Path) -> Path:
    cache = folder / f"{rehearsal.name}-{_key(rehearsal.files)}.aot"
    if cache.exists():
        return cache
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two stacks that start at once rehearse once
        if not cache.exists():
            say(
                f"rehearsing the start of {rehearsal.name}, once, so that each later one is fast (about 15 s)"
            )
            partial = cache.with_suffix(".partial")
            rehearsal.run((f"-XX:AOTCacheOutput={partial}", _QUIET))
            for outdated in folder.glob(f"{rehearsal.name}-*.aot"):
                outdated.unlink()
            partial.rename(cache)
    return cache


def _key(files: Iterable[Path]) -> str:
    """What Java compares, too: a cache of other files, or of the same at another place, is of no use."""
    states = ((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)
    return hashlib.sha256(repr(list(states)).encode()).hexdigest()[:16]
