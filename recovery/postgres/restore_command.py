"""`python -m recovery postgres restore | begin-lives`: their composition roots."""

import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console

from recovery.answers import DONE, print_json, remark, tell
from recovery.audit.meter import Bar
from recovery.postgres.command import AcceptUnsigned, AsJson, DryRun, place_of
from recovery.postgres.conninfo import at_port
from recovery.postgres.programs import Programs, server_user
from recovery.postgres.restore import Plan, lay_out, plan_restore, reached, tidy
from recovery.postgres.server import RestoredServer, begin_lives
from recovery.postgres.target import parse_target
from recovery.refusals import concluded
from recovery.signatures import Standing
from settings import Settings, load


class ShardLine(msgspec.Struct):
    """A shard's log after a restore."""

    shard: int
    position: int
    generation: int
    before: int


class RestoreReceipt(msgspec.Struct, kw_only=True):
    """What `restore --json` prints."""

    backup: str
    signature: Standing  # how far the backup's record is proven
    target: str
    into: str
    wal_segments: int
    wal_bytes: int
    is_done: bool = False
    last_commit: str | None = None
    port: int | None = None
    pid: int | None = None
    shards: list[ShardLine] = []


def restore(
    *,
    into: Path,
    to_time: str | None = None,
    to_lsn: str | None = None,
    backup: str | None = None,
    promote: Annotated[bool, Parameter(negative=())] = False,
    start: int | None = None,
    accept_unsigned: AcceptUnsigned = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int:
    """Put a data folder together from a base backup and the archived log.

    Parameters
    ----------
    into
        The data folder to make: missing, or empty.
    to_time
        10m (ago), or 2026-05-30T21:04:05Z with its zone; commits up to it are there. By default all.
    to_lsn
        A place in the log instead.
    backup
        Begin from this base backup instead of the newest that fits.
    promote
        Run the server for a moment, on a free port of loopback: it replays, begins new lives, and stops.
    start
        The same on this port, and leave it running.
    """

    def work() -> int:
        settings = load()
        place, programs = place_of(settings, accept_unsigned), Programs(settings.postgres_binaries)
        plan = plan_restore(place, into, parse_target(to_time, to_lsn, datetime.now(UTC)), backup)
        for line in plan.lines():
            remark(line)
        standing = place.keys.standing_of(plan.record.signature)
        remark(standing.sentence)
        receipt = RestoreReceipt(
            backup=plan.record.name,
            signature=standing,
            target=str(plan.target),
            into=str(plan.into),
            wal_segments=len(plan.wal.files),
            wal_bytes=plan.wal.size,
        )
        if not dry_run:
            user = server_user()
            with Bar(Console(stderr=True)) as bar:
                bar.begin("bringing backup and log", plan.size)
                lay_out(place, plan, user, bar.advance)
            if start is not None or promote:
                _promote(settings, programs, plan, start, receipt)
            else:
                remark(
                    "nothing was started. Start a server on it; once it takes writes, and before any lane:"
                    " python -m recovery postgres begin-lives"
                )
            receipt.is_done = True
        if as_json:
            print_json(receipt)
        else:
            _show(receipt)
        return DONE

    return concluded(work, as_json)


def _promote(
    settings: Settings,
    programs: Programs,
    plan: Plan,
    port: int | None,
    receipt: RestoreReceipt,
) -> None:
    server = RestoredServer(plan.into, port or free_port(), programs, server_user())
    dsn = at_port(settings.postgres, server.port)
    try:
        with Bar(Console(stderr=True)) as bar:
            bar.begin("replaying the log, in segments", len(plan.wal.files))
            server.wait(dsn, plan.target, plan.wal.hole, lambda: bar.reached(reached(plan)))
        lives, trouble = begin_lives(dsn, settings.redis)
        tidy(plan.into)
    except BaseException:
        server.stop()
        raise
    if trouble is not None:
        remark(f"Redis was not asked for its generations ({trouble}); the time stands in")
    commit = server.last_commit()
    receipt.last_commit = commit.isoformat() if commit else None
    receipt.shards = [ShardLine(life.shard, life.position, life.generation, life.before) for life in lives]
    if port is None:
        server.stop()
    else:
        receipt.port, receipt.pid = port, server.pid
    remark("take a base backup of it now: the ones before it belong to the history that ends here")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _show(receipt: RestoreReceipt) -> None:
    for line in receipt.shards:
        tell(f"shard {line.shard}: up to position {line.position:,}, generation {line.generation}")
    if receipt.last_commit:
        tell(f"last commit that is there: {receipt.last_commit}")
    if receipt.port:
        tell(f"runs on port {receipt.port}, pid {receipt.pid}")


class NewLives(msgspec.Struct):
    """What `begin-lives --json` prints."""

    shards: list[ShardLine] = []  # empty before it is done
    is_done: bool = False


def begin_lives_here(*, dry_run: DryRun = False, as_json: AsJson = False) -> int:
    """Begin new lives of all shards of a restored database."""

    def work() -> int:
        settings = load()
        answer = NewLives()
        lines = ["would raise the generation and renew the fence of every shard"]
        if not dry_run:
            lives, trouble = begin_lives(settings.postgres, settings.redis)
            if trouble is not None:
                remark(f"Redis was not asked ({trouble})")
            shards = [ShardLine(life.shard, life.position, life.generation, life.before) for life in lives]
            answer = NewLives(shards, is_done=True)
            lines = [f"shard {line.shard}: generation {line.before} -> {line.generation}" for line in shards]
        if as_json:
            print_json(answer)
        else:
            for line in lines:
                tell(line)
        return DONE

    return concluded(work, as_json)
