"""A real Chromium before a real gateway and API, and a match that the test lets happen."""

import os
import random
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from local import page_libraries
from local.ports import free_base
from settings import Settings
from tests.event_builders import MATCH
from tests.fixtures.services import Service
from tests.fixtures.waiting import eventually
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
        chromium = playwright.chromium.launch(executable_path=found[0], args=_ARGUMENTS)
        yield chromium
        chromium.close()


class Site:
    """The gateway and the API of an installation, at one port base as in production."""

    def __init__(self, settings: Settings) -> None:
        self.settings = replace(settings, port_base=free_base(random.Random()))
        self.url = self.settings.url("gateway")
        self._services: dict[str, Service] = {}
        self._stopped: list[int] = []

    def start(self, module: str) -> None:
        service = self._services[module] = Service(module, self.settings)
        eventually(service.is_ready)

    def kill(self, module: str) -> None:
        """As the kernel does when memory is short: no goodbye."""
        self._services[module].process.kill()
        self._services[module].stop()

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


@pytest.fixture
def log(installation: Settings) -> Iterator[LiveLog]:
    with LiveLog(installation) as growing:
        yield growing


@pytest.fixture
def site(log: LiveLog) -> Iterator[Site]:
    running = Site(log.settings)
    try:
        running.start("gateway")
        running.start("api")
        yield running
    finally:
        running.stop()


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


@pytest.fixture
def match_page(open_page: OpenPage) -> Page:
    """A phone that watches the match."""
    return open_page(f"#/match/{MATCH}")
