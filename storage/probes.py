"""Whether the servers answer, for /health/ready."""

import time
from collections.abc import Awaitable, Callable

import msgspec

from storage.reading import LogUnavailableError
from storage.streams import StreamsUnavailableError


class Part(msgspec.Struct, frozen=True):
    """One thing a process stands on."""

    ok: bool
    detail: str
    latency_ms: float
    required: bool = True  # whether the process is of no use without it


class Readiness(msgspec.Struct, frozen=True):
    """Whether a process can do its work, and which part keeps it from it."""

    ready: bool
    parts: dict[str, Part]


async def probe(ask: Callable[[], Awaitable[None]], is_required: bool = True) -> Part:
    """Ask a server for a sign of life."""
    began = time.perf_counter()
    detail = "answers"
    try:
        await ask()
    except (LogUnavailableError, StreamsUnavailableError) as error:
        detail = error.detail
    took = round((time.perf_counter() - began) * 1000, 2)
    return Part(detail == "answers", detail, took, is_required)


def readiness(parts: dict[str, Part]) -> Readiness:
    """Ready when every required part is."""
    return Readiness(all(part.ok for part in parts.values() if part.required), parts)
