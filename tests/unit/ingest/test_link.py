"""What is known of a neighbour is told to probes, and each change is logged once."""

import httpx
import pytest

from ingest.link import LINK_LOST, LINK_REGAINED, Link, reason_of
from tests.clocks import FakeClock


def a_link() -> tuple[Link, FakeClock]:
    clock = FakeClock()
    return Link("broadcast", "http://feed.example", clock), clock


def test_a_link_that_was_never_used_is_not_up() -> None:
    link, _ = a_link()
    report = link.report()
    assert (report.ok, report.detail, report.last_success_seconds_ago) == (False, "not asked yet", None)


def test_a_report_says_why_and_since_when() -> None:
    link, clock = a_link()
    link.succeeded()
    clock.advance(12)
    link.failed("connection refused")
    report = link.report()
    assert (report.ok, report.detail, report.last_success_seconds_ago) == (False, "connection refused", 12.0)


def test_only_changes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    link, _ = a_link()
    link.succeeded()
    for _ in range(5):
        link.failed("connection refused")
    for _ in range(5):
        link.succeeded()
    assert [record.message for record in caplog.records] == [LINK_LOST, LINK_REGAINED]


def test_the_reason_of_a_failed_request_shows_no_key() -> None:
    request = httpx.Request("GET", "http://feed.example/?key=secret")
    response = httpx.Response(403, request=request)
    with pytest.raises(httpx.HTTPStatusError) as raised:
        response.raise_for_status()
    assert reason_of(raised.value) == "it answers 403 Forbidden"
