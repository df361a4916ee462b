"""`python -m api`: answer REST requests until SIGTERM."""

import uvicorn

import settings
from api import application
from telemetry import log

_STOP_WITHIN_SECONDS = 5


def main() -> None:
    """Serve the REST API on its loopback port."""
    given = settings.load()
    uvicorn.run(
        application.create(given),
        host="127.0.0.1",
        port=given.port("api"),
        http="httptools",
        loop="uvloop",
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_STOP_WITHIN_SECONDS,
    )


if __name__ == "__main__":
    log.configure()
    main()
