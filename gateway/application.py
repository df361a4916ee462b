"""The gateway's web server: Socket.IO, the page, its configuration and health."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import socketio
from litestar import Litestar, MediaType, Response, get
from litestar.datastructures import CacheControlHeader
from litestar.exceptions import NotFoundException
from litestar.response import File
from litestar.static_files import create_static_files_router
from litestar.types import ControllerRouterHandler

from gateway.assembly import Gateway
from storage.probes import Readiness

# The page is small and changes with the server: ask each time whether it is still the same.
_FRESH = CacheControlHeader(no_cache=True)


def create(gateway: Gateway, web: Path, api_url: str) -> socketio.ASGIApp:
    """The ASGI application: Socket.IO under /socket.io/, the rest by Litestar."""
    site = Litestar(
        route_handlers=[
            *_page(web),
            *_configuration(api_url),
            *_health(gateway.readiness),
        ],
        openapi_config=None,
        logging_config=None,
    )
    return socketio.ASGIApp(gateway.sockets, site)


def _page(web: Path) -> list[ControllerRouterHandler]:
    index = web / "index.html"

    @get("/", include_in_schema=False)
    async def home() -> File:
        """The fan page."""
        if not index.is_file():
            raise NotFoundException("this checkout has no page: web/index.html is missing")
        return File(
            index,
            filename="index.html",
            content_disposition_type="inline",
            headers={_FRESH.HEADER_NAME: _FRESH.to_header()},
        )

    files = create_static_files_router("/web", [web], cache_control=_FRESH)
    return [home, files]


def _configuration(api_url: str) -> list[ControllerRouterHandler]:
    @get("/config.json", include_in_schema=False)
    async def configuration() -> dict[str, str]:
        """Where the page finds the REST API."""
        return {"api": api_url}

    return [configuration]


def _health(readiness: Callable[[], Awaitable[Readiness]]) -> list[ControllerRouterHandler]:
    @get("/health/live", include_in_schema=False)
    async def live() -> dict[str, bool]:
        """Whether the process answers at all."""
        return {"live": True}

    @get("/health/ready", include_in_schema=False)
    async def ready() -> Response[Readiness]:
        """Whether fans can be served, and which part is not well."""
        found = await readiness()
        return Response(found, status_code=200 if found.ready else 503, media_type=MediaType.JSON)

    return [live, ready]
