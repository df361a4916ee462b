"""Fetch the jars of a Java server, exactly those that its lock file names.

The lock file is jgo's: versions and SHA-256, no address. Nothing is
resolved at start, so a broker of today is the broker of tomorrow.
"""

import hashlib
import sys
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import requests

from settings import ROOT

KAFKA_LOCK = Path(__file__).with_name("kafka.lock.toml")
# log4j's bridge is not among the broker's own dependencies; without it the
# broker starts but says nothing. "!": its parent's table of versions must not
# apply to the others; it names an older kafka-clients.
KAFKA = ("org.apache.kafka:kafka_2.13:4.1.1", "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3!")

REPOSITORY = ROOT / ".tooling" / "maven"
DOWNLOADS_AT_ONCE = 6
DOWNLOAD_TIMEOUT_SECONDS = 60
Say = Callable[[str], None]


class Jar(msgspec.Struct, frozen=True, rename="camel"):
    """One entry of the lock file."""

    group_id: str
    artifact_id: str
    version: str
    packaging: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where a Maven repository keeps it."""
        folder = Path(*self.group_id.split("."), self.artifact_id, self.version)
        return folder / f"{self.artifact_id}-{self.version}.{self.packaging}"


class JarDownloadError(RuntimeError):
    """A jar could not be fetched, or it is not the one that was locked."""

    def __init__(self, jar: Jar, reason: str) -> None:
        super().__init__(
            f"cannot fetch {jar.path.name}: {reason}. Check the network (and HTTPS_PROXY), then run the"
            " same command again."
        )
        self.jar = jar
        self.reason = reason


def fetch(lock: Path, say: Say, repository: Path = REPOSITORY) -> list[Path]:
    """Return the paths of all locked jars, downloading what is missing.

    Raises JarDownloadError; a jar whose SHA-256 differs never gets its name.
    """
    locked = msgspec.convert(tomllib.loads(lock.read_text())["dependencies"], list[Jar])
    missing = [jar for jar in locked if not (repository / jar.path).exists()]
    if missing:
        say(f"downloading {len(missing)} jars of Kafka (43 MB)")
        with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as threads:
            list(threads.map(lambda jar: _download(jar, repository), missing))
    return [repository / jar.path for jar in locked]


def _download(jar: Jar, repository: Path) -> None:
    # jgo writes straight to the final name. A scratch repository and a rename
    # keep a download that was cut off from looking complete ever after.
    scratch, final = repository / ".partial", repository / jar.path
    (scratch / jar.path).unlink(missing_ok=True)
    try:
        project = _maven(scratch).project(jar.group_id, jar.artifact_id)
        partial = project.at_version(jar.version).artifact().resolve()
    except (requests.RequestException, RuntimeError, OSError) as error:
        raise JarDownloadError(jar, str(error)) from error
    found = hashlib.sha256(partial.read_bytes()).hexdigest()
    if found != jar.sha256:
        partial.unlink()
        raise JarDownloadError(jar, f"its SHA-256 is {found}, {jar.sha256} was locked")
    final.parent.mkdir(parents=True, exist_ok=True)
    partial.rename(final)


def _maven(repository: Path) -> Any:
    # Imported late: it takes half a second, and it is needed once per machine.
    from jgo.maven import MavenContext

    return MavenContext(repo_cache=repository, timeout=DOWNLOAD_TIMEOUT_SECONDS)


def lock(coordinates: tuple[str, ...], path: Path) -> None:
    """Resolve the coordinates anew and write the lock file."""
    context = _maven(REPOSITORY)
    inputs, transitive = context.resolver.resolve([context.create_dependency(c) for c in coordinates])
    wanted = [*inputs, *(jar for jar in transitive if jar.scope in ("compile", "runtime"))]
    from jgo.env import LockFile

    LockFile.from_resolved_dependencies(wanted, environment_name="kafka").save(path)


if __name__ == "__main__":
    lock(KAFKA, KAFKA_LOCK)
    sys.stdout.write(f"wrote {KAFKA_LOCK}\n")
