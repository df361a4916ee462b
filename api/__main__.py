"""`python -m api`: answer REST requests until SIGTERM."""

import uvicorn
from cyclopts import App

import settings
from api import application
from telemetry import log

HELP = """\
Answer REST requests about matches and events at http://127.0.0.1:28081 (TOUCHLINE_PORT_BASE + 81).

Try it, with the local stack up (`./dev up`); all routes, with examples: http://127.0.0.1:28081/schema

    curl http://127.0.0.1:28081/matches
    curl 'http://127.0.0.1:28081/matches/m-1/events?after_seq=0&limit=10'
    curl http://127.0.0.1:28081/health/ready

Settings are variables: TOUCHLINE_API_PAGE_LIMIT and the addresses of the servers;
`.env.example` explains each. Stop with Ctrl-C or SIGTERM.
"""

app = App(name="python -m api", help=HELP, help_format="markdown", version_flags=[])

_STOP_WITHIN_SECONDS = 5


@app.default
def api() -> None:
    log.configure()
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
    app()
