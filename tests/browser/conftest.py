"""A real Chromium before a real gateway and API, and a match that the test lets happen.

Servers and services are started once a module; tests keep apart by their matches.
"""

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import timedelta
from itertools import count

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from local import page_libraries
from local.installation import throwaway
from local.servers.redis import DATABASES
from schemas.raw import RawEvent
from settings import Settings
from tests.event_builders import MATCH
from tests.fixtures.services import Service
from tests.fixtures.waiting import eventually
from tests.free_ports import a_free_base
from tests.live_log import LiveLog

_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# What the browser itself says of a connection that a test cut.
_OF_A_CUT = re.compile(r"WebSocket connection to|net::ERR_|Failed to load resource")
_PHONE = {"width": 360, "height": 740}
# Two cores that a whole suite shares: a test that passes never waits for these.
_STARTS_WITHIN = timedelta(seconds=60)
_SEEN_WITHIN_MS = 20_000
_SHARDS = 2
# Tests with an installation of their own have any but 0; none of them runs while this one is in use.
_REDIS_DATABASE = DATABASES - 1

OpenPage = Callable[..., Page]


@pytest.fixture(scope="session", autouse=True)
def _libraries() -> None:
    page_libraries.install(lambda _: None, for_tests=True)


# Not for the session: while Playwright runs, nobody else in this thread has an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium, headless."""
    found = [path for name in _CHROMIUMS if (path := shutil.which(name))]
    if not found:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        expect.set_options(timeout=_SEEN_WITHIN_MS)
        chromium = playwright.chromium.launch(executable_path=found[0], args=_ARGUMENTS)
        yield chromium
        chromium.close()


class Site:
    """The gateway and the API of an installation, at one port base as in production."""

    def __init__(self, settings: Settings) -> None:
        self.settings = replace(settings, port_base=a_free_base())
        self.url = self.settings.url("gateway")
        self._services: dict[str, Service] = {}
        self._stopped: list[int] = []

    def start(self, module: str) -> None:
        service = self._services[module] = Service(module, self.settings)
        eventually(service.is_ready, _STARTS_WITHIN)

    def kill(self, module: str) -> None:
        """As the kernel does when memory is short: no goodbye."""
        service = self._services.pop(module)
        service.process.kill()
        service.stop()

    def start_what_is_missing(self) -> None:
        """Let the next test find what it expects, whatever this one did."""
        self.thaw()
        for module in ("gateway", "api"):
            if module not in self._services:
                self.start(module)

    def freeze(self) -> None:
        """Let the gateway hold its connections and say nothing on them."""
        process = self._services["gateway"].process
        process.send_signal(signal.SIGSTOP)
        self._stopped.append(process.pid)

    def thaw(self) -> None:
        for pid in self._stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._stopped.clear()

    def stop(self) -> None:
        self.thaw()
        for service in self._services.values():
            service.stop()


class OneTestsLog:
    """The module's log, with matches that no other test knows: each id gets this test's number."""

    def __init__(self, log: LiveLog, number: int) -> None:
        self._log = log
        self._number = number
        self.route = f"#/match/{self.name(MATCH)}"

    def name(self, match: str) -> str:
        return f"{match}-{self._number}"

    def say(self, events: Sequence[RawEvent]) -> None:
        """Commit and publish."""
        self._log.say([replace(event, match=self.name(event.match)) for event in events])


@pytest.fixture(scope="module")
def module_log(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveLog]:
    data = tmp_path_factory.mktemp("browser")
    number = next(_numbers)
    with (
        throwaway(stack, f"browser_{number}", _SHARDS, _REDIS_DATABASE, data) as empty,
        LiveLog(empty) as log,
    ):
        yield log


@pytest.fixture(scope="module")
def running_site(module_log: LiveLog) -> Iterator[Site]:
    running = Site(module_log.settings)
    try:
        running.start_what_is_missing()
        yield running
    finally:
        running.stop()


_numbers = count(1)


@pytest.fixture
def log(module_log: LiveLog) -> OneTestsLog:
    return OneTestsLog(module_log, next(_numbers))


@pytest.fixture
def site(running_site: Site) -> Iterator[Site]:
    running_site.start_what_is_missing()
    yield running_site
    running_site.thaw()


class Console:
    """What the page complains about; a test fails on any of it."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.expects_a_cut = False

    def watch(self, context: BrowserContext) -> None:
        context.on("console", self._note)
        context.on("weberror", lambda error: self.complaints.append(f"uncaught: {error.error}"))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def check(self) -> None:
        unexpected = [c for c in self.complaints if not (self.expects_a_cut and _OF_A_CUT.search(c))]
        assert not unexpected, "\n".join(unexpected)


@pytest.fixture
def console() -> Iterator[Console]:
    watched = Console()
    yield watched
    watched.check()


@pytest.fixture
def open_page(browser: Browser, site: Site, console: Console) -> Iterator[OpenPage]:
    """Open the page at a hash route; keywords go to Playwright's new_context."""
    with ExitStack() as opened:

        def open_at(route: str = "", fake_clock: bool = False, **options: object) -> Page:
            context = browser.new_context(**({"viewport": _PHONE, "locale": "en-GB"} | options))  # type: ignore[arg-type]
            opened.callback(context.close)
            console.watch(context)
            page = context.new_page()
            if fake_clock:
                page.clock.install()
            page.goto(f"{site.url}/{route}")
            return page

        yield open_at
