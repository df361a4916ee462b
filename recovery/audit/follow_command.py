"""`python -m recovery audit --follow`: the composition root of the audit without end."""

import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
from rich.console import Console

from recovery.answers import COULD_NOT_RUN
from recovery.audit.findings import KINDS, Difference
from recovery.audit.follow import Follower, Look
from recovery.audit.servers import CannotRunError, opened
from settings import Settings
from telemetry import log as telemetry
from telemetry.export import export_metrics
from telemetry.log import Log
from telemetry.metrics import counter, gauge

# With a look every 2 s, a row that does not arrive is told 7 s after the log had it; as a metric, after 8 s.
_EVERY_SECONDS = 2.0
_LATE = timedelta(seconds=5)
_PUSHED_EVERY = timedelta(seconds=1)
_ROWS_BEFORE = 20_000  # of each shard, at the first look
_PAUSE_SECONDS = 2.0  # before servers that went away are tried again
_SUMMARY_EVERY_SECONDS = 60.0

DIFFERED = "audit.differed"
UNDELIVERED = "audit.undelivered"
DELIVERED = "audit.delivered"
BLIND = "audit.blinded"
LOOKED = "audit.looked"

_log = Log("audit")
_rows = counter("audit_compared_rows", "Rows of the log that were compared with the live streams")
_differences = counter("audit_differences", "Differences between log and live streams, by kind")
_behind = gauge("audit_undelivered_shards", "Shards whose stream lacks what the log had 5 s ago")
_blind = gauge("audit_unreachable_servers", "1 while an audit cannot read a server, else 0")


class _Line(msgspec.Struct):
    """What `--json` prints, one a line: a difference, or a shard that is late or in time again."""

    at: str
    what: str
    where: str
    meaning: str = ""
    expected: str = ""
    found: str = ""
    match: str | None = None


class _Teller:
    """Tells what looks found: to the log, to metrics, and with `json` as lines on standard output."""

    def __init__(self, json: bool) -> None:
        self.looks = 0
        self.total = 0
        self._json = json
        self._late: frozenset[int] = frozenset()
        self._rows = 0
        self._told_at = time.monotonic()

    def tell(self, look: Look) -> None:
        _rows.add(look.rows)
        _blind.set(0)
        _behind.set(len(look.undelivered))
        self.looks += 1
        self._rows += look.rows
        self.total += look.findings.total + len(look.undelivered - self._late)
        for kind, count in look.findings.counts.items():
            _differences.add(count, {"kind": kind})
        for difference in look.findings.first():
            _log.error(DIFFERED, **msgspec.structs.asdict(difference))
            self._print(difference)
        for shard in sorted(look.undelivered - self._late):
            _differences.add(1, {"kind": "undelivered"})
            _log.error(UNDELIVERED, shard=shard)
            self._print(Difference("undelivered", f"shard {shard}", "what the log had 5 s ago", "less"))
        for shard in sorted(self._late - look.undelivered):
            _log.info(DELIVERED, shard=shard)
            self._print(Difference("delivered", f"shard {shard}", "", ""))
        self._late = look.undelivered
        if time.monotonic() - self._told_at >= _SUMMARY_EVERY_SECONDS:
            _log.info(LOOKED, rows=self._rows, differences=self.total)
            self._rows, self._told_at = 0, time.monotonic()

    def _print(self, difference: Difference) -> None:
        if not self._json:
            return
        line = _Line(
            datetime.now(UTC).isoformat(timespec="milliseconds"),
            difference.what,
            difference.where,
            KINDS.get(difference.what, ""),
            difference.expected,
            difference.found,
            difference.match,
        )
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
        sys.stdout.flush()


def follow(settings: Settings, json: bool, errors: Console, lasting: timedelta | None = None) -> int:
    """Look until SIGTERM or Ctrl-C, or for so long; return the exit status, as the help gives it."""
    telemetry.configure()
    export_metrics(settings, "audit", _PUSHED_EVERY)
    ended = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: ended.set())
    teller = _Teller(json)
    until = "Ctrl-C stops" if lasting is None else f"for {lasting.total_seconds():g} s"
    errors.print(f"following the log; {until}", markup=False, highlight=False)
    if lasting is not None:
        clock = threading.Timer(lasting.total_seconds(), ended.set)
        clock.daemon = True
        clock.start()
    while not ended.is_set():
        try:
            _follow_one_life(settings, teller.tell, ended)
        except CannotRunError as error:
            _blind.set(1)
            _log.warning(BLIND, part=error.part, reason=error.reason)
            ended.wait(_PAUSE_SECONDS)
    if not teller.looks:
        errors.print("it never came to look", markup=False, highlight=False)
        return COULD_NOT_RUN
    return min(teller.total, 1)


def _follow_one_life(settings: Settings, tell: Callable[[Look], None], ended: threading.Event) -> None:
    """Look until told to end, once at least, on servers that stay."""
    rows_before = min(_ROWS_BEFORE, settings.stream_retention)
    with opened(settings) as servers:
        follower = Follower(servers, settings.shards, rows_before, _LATE, time.monotonic)
        tell(follower.look())
        while not ended.wait(_EVERY_SECONDS):
            tell(follower.look())
