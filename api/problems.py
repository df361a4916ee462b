"""Errors as problem details (RFC 9457): what happened, which field, when to try again."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

from litestar.exceptions import HTTPException, ValidationException
from litestar.plugins.problem_details import (
    ProblemDetailsConfig,
    ProblemDetailsException,
    ProblemDetailsPlugin,
)

from storage.reading import LogUnavailableError
from telemetry.log import Log

_TYPE = "urn:touchline:problem:"
_RETRY_AFTER_SECONDS = 1
_REQUEST_FAILED = "request.failed"
_say = Log("api")

Failure = TypeVar("Failure", bound=Exception)


def unknown(what: str, name: str, field: str) -> ProblemDetailsException:
    """404: there is no such thing in the log."""
    return _problem(
        404, f"unknown_{what}", f"There is no such {what}", f"no {what} {name!r} in the log", field
    )


def _problem(
    status: int, kind: str, title: str, detail: str, field: str | None = None, **headers: str
) -> ProblemDetailsException:
    return ProblemDetailsException(
        status_code=status,
        type_=_TYPE + kind,
        title=title,
        detail=detail,
        extra=None if field is None else {"field": field},
        headers=headers or None,
    )


def _of_validation(error: ValidationException) -> ProblemDetailsException:
    """400: Litestar lists what is wrong; the first names the field."""
    faults = error.extra if isinstance(error.extra, list) else []
    first: dict[str, Any] = faults[0] if faults and isinstance(faults[0], dict) else {}
    field, said = first.get("key"), first.get("message", error.detail)
    detail = f"{field}: {said}" if field else said
    return _problem(400, "invalid_request", "The request does not fit", detail, field)


def _of_http(error: HTTPException) -> ProblemDetailsException:
    """What HTTP itself has a word for, like an unknown path."""
    title = HTTPStatus(error.status_code).phrase
    return ProblemDetailsException(
        status_code=error.status_code,
        type_="about:blank",
        title=title,
        detail=error.detail or title,
        headers=error.headers,
    )


def _of_outage(error: LogUnavailableError) -> ProblemDetailsException:
    """503: the log is out of reach; the same request may succeed in a moment."""
    return _problem(
        503,
        "log_unavailable",
        "The log is out of reach",
        error.detail,
        **{"Retry-After": str(_RETRY_AFTER_SECONDS)},
    )


def _of_bug(error: Exception) -> ProblemDetailsException:
    """500: a fault of ours; what it was is in the log lines, not in the answer."""
    _say.error(_REQUEST_FAILED, error=error)
    return _problem(500, "internal", "Something went wrong here", "the fault has been logged")


def plugin() -> ProblemDetailsPlugin:
    """Answer every error as a problem."""
    mapped: dict[type[Exception], Callable[[Any], ProblemDetailsException]] = {
        ValidationException: _of_validation,
        HTTPException: _of_http,
        LogUnavailableError: _of_outage,
        Exception: _of_bug,
    }
    return ProblemDetailsPlugin(ProblemDetailsConfig(exception_to_problem_detail_map=mapped))
