"""Log lines: one per event, to standard error, as JSON or as plain text for a terminal.

A thin layer over the standard library, so that what libraries log comes out
in the same form. An event is named by a past-tense constant of the module
that logs it (`UPSTREAM_LOST = "upstream.lost"`); everything else is a field.
"""

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Literal, TextIO

import msgspec

Form = Literal["json", "plain"]

_FIELDS = "touchline_fields"
_ROOT = "touchline"
# They say at INFO what we count or log ourselves: every request, every start.
_TALKATIVE = ("httpx", "httpcore", "uvicorn.error", "uvicorn.access", "asyncio")
_encode = msgspec.json.Encoder(enc_hook=str).encode


class Log:
    """Logs the events of one part of a process."""

    def __init__(self, part: str) -> None:
        self._logger = logging.getLogger(f"{_ROOT}.{part}")

    def info(self, event: str, **fields: object) -> None:
        self._say(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._say(logging.WARNING, event, fields)

    def error(self, event: str, *, error: BaseException | None = None, **fields: object) -> None:
        """Log a failure; `error` adds its traceback."""
        self._say(logging.ERROR, event, fields, error)

    def _say(
        self, level: int, event: str, fields: dict[str, object], error: BaseException | None = None
    ) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, extra={_FIELDS: fields}, exc_info=error)


def configure(form: Form | None = None, stream: TextIO | None = None) -> None:
    """Send all log lines to `stream` (standard error); for composition roots, once.

    Without a form a terminal gets plain lines, anything else JSON.
    """
    out = sys.stderr if stream is None else stream
    chosen = form or ("plain" if out.isatty() else "json")
    handler = logging.StreamHandler(out)
    handler.setFormatter(_JsonFormatter() if chosen == "json" else _PlainFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "part": _part(record),
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info and record.exc_info[1]:
            line["traceback"] = "".join(traceback.format_exception(record.exc_info[1]))
        # A field may hold what JSON cannot: half of a surrogate pair from a bad upstream.
        try:
            return _encode(line).decode()
        except UnicodeEncodeError:
            return _encode({name: ascii(value) for name, value in line.items()}).decode()


class _PlainFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
        fields = " ".join(f"{name}={_shown(value)}" for name, value in _fields(record).items())
        line = f"{at} {record.levelname:<7} {_part(record)} {record.getMessage()} {fields}".rstrip()
        if record.exc_info and record.exc_info[1]:
            line += "\n" + "".join(traceback.format_exception(record.exc_info[1])).rstrip()
        return line


def _part(record: logging.LogRecord) -> str:
    return record.name.removeprefix(f"{_ROOT}.")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = getattr(record, _FIELDS, {})
    return fields


def _shown(value: object) -> str:
    text = str(value)
    return text if text and text.isprintable() and " " not in text else ascii(text)
