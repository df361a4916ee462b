"""A log line is one line, in either form, whatever its fields hold."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest

from telemetry.log import Form, Log, configure

FEED_LOST = "feed.lost"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(form: Form, **fields: object) -> str:
    out = io.StringIO()
    configure(form, out)
    Log("ingest").warning(FEED_LOST, **fields)
    return out.getvalue()


def test_a_json_line_has_time_level_part_event_and_fields() -> None:
    line = json.loads(logged("json", feed="broadcast", age=timedelta(seconds=2), tries=3))
    assert line.pop("at").endswith("Z")
    assert line == {
        "level": "warning",
        "part": "ingest",
        "event": FEED_LOST,
        "feed": "broadcast",
        "age": "PT2S",
        "tries": 3,
    }


def test_a_plain_line_can_be_read() -> None:
    line = logged("plain", feed="broadcast", reason="no route")
    assert line.endswith(" WARNING ingest feed.lost feed=broadcast reason='no route'\n")


@pytest.mark.parametrize("form", ["json", "plain"])
@pytest.mark.parametrize("text", ["two\nlines", "half \ud800 pair", "\x1b[31mred", "nul \0"])
def test_no_field_breaks_the_line_or_the_terminal(form: Form, text: str) -> None:
    line = logged(form, text=text)
    assert line.count("\n") == 1
    assert line.rstrip("\n").isprintable()


@pytest.mark.parametrize("form", ["json", "plain"])
def test_an_error_brings_its_traceback(form: Form) -> None:
    out = io.StringIO()
    configure(form, out)
    try:
        raise KeyError("team")
    except KeyError as error:
        Log("ingest").error("mapper.failed", error=error)
    assert "KeyError: 'team'" in out.getvalue()


def test_libraries_are_heard_in_the_same_form_when_it_matters() -> None:
    out = io.StringIO()
    configure("json", out)
    logging.getLogger("httpx").info("HTTP Request: GET ...")
    logging.getLogger("httpx").warning("odd")
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["odd"]
