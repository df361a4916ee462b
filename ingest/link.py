"""What we know of a neighbour: Kafka or an upstream. Each change is logged once."""

from collections.abc import Callable

import httpx
import msgspec

from telemetry.log import Log

LINK_LOST = "link.lost"
LINK_REGAINED = "link.regained"


class LinkReport(msgspec.Struct, frozen=True):
    """The state of a neighbour, for people and probes."""

    ok: bool
    detail: str
    last_success_seconds_ago: float | None  # None: never


class Link:
    """Remembers whether a neighbour answered when it was last asked."""

    def __init__(self, name: str, where: str, clock: Callable[[], float]) -> None:
        """`clock` counts seconds and never goes back."""
        self.name = name
        self._where = where
        self._clock = clock
        self._log = Log("ingest")
        self._failure: str | None = "not asked yet"
        self._lost_at: float | None = None
        self._succeeded_at: float | None = None

    @property
    def is_up(self) -> bool:
        return self._failure is None

    def succeeded(self) -> None:
        """It answered, and well."""
        now = self._clock()
        if self._lost_at is not None:
            self._log.info(
                LINK_REGAINED, to=self.name, where=self._where, after_seconds=round(now - self._lost_at, 3)
            )
            self._lost_at = None
        self._failure = None
        self._succeeded_at = now

    def failed(self, reason: str) -> None:
        """It did not answer, or not well; only the first failure in a row is logged."""
        if self._lost_at is None:
            self._lost_at = self._clock()
            self._log.warning(LINK_LOST, to=self.name, where=self._where, reason=reason)
        self._failure = reason

    def report(self) -> LinkReport:
        """How it stands now."""
        age = None if self._succeeded_at is None else round(self._clock() - self._succeeded_at, 3)
        return LinkReport(self.is_up, self._failure or "answers", age)


def reason_of(error: Exception) -> str:
    """Why a request failed, without its URL: a query may hold a key."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answers {error.response.status_code} {error.response.reason_phrase}"
    return f"{type(error).__name__}: {error}"
