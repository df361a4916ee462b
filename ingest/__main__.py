"""`python -m ingest`: take in what sensors, the broadcast feed and the social stream say."""

import asyncio
import gc
import socket
import sys
from typing import Annotated

import uvloop
from cyclopts import App, Parameter

import settings
from ingest import poll, push
from ingest.assembly import Ingest, adapters_of
from telemetry import log
from telemetry.export import export_metrics

HELP = """\
Take in what the upstreams say, check it, and write it to Kafka's raw topics.

Three adapters run in one process (TOUCHLINE_INGEST_ADAPTERS names those to run):

- sensors: POST /sensors, JSON or NDJSON; answers 202 once Kafka has the records
- broadcast: polls TOUCHLINE_BROADCAST_URL from a durable cursor
- social: follows the server-sent events of TOUCHLINE_SOCIAL_URL

A record that is not good is told to the one who pushed it, or forwarded as it
came, so that it ends as a dead letter. Stop with Ctrl-C or SIGTERM: what was
begun is finished first. A crash at any point loses nothing that was acknowledged.

Try it, with the local stack up (`./dev up`):

    echo '{"source": "sensors", "match": "m-1", "type": "heart_rate",
      "source_event_id": "belt-7/1", "occurred_at": "2025-03-01T20:00:00Z",
      "body": {"player": "A. Player", "heart_rate": 150}}' > reading.json
    curl -i -H 'Content-Type: application/json' --data @reading.json \\
      http://127.0.0.1:28001/sensors
    curl http://127.0.0.1:28001/health/ready

What a record may hold stands in `schemas/raw.py`; a refusal names line, field
and reason. The routes: http://127.0.0.1:28001/schema
"""

app = App(name="python -m ingest", help=HELP, help_format="markdown", version_flags=[])

USAGE_ERROR = 2
# The reports of Kafka come on a thread of their own, which waits this long for
# its turn whenever the event loop is busy; 5 ms by default.
SWITCH_INTERVAL_SECONDS = 0.001


class PortTakenError(RuntimeError):
    """Another process listens where pushes should arrive."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"cannot listen on {host}:{port}: {reason}. Stop the process that does (another stack?),"
            " or move this one with TOUCHLINE_PORT_BASE."
        )
        self.host = host
        self.port = port


def listener_on(host: str, port: int) -> socket.socket:
    """Listen, so that a port in use is said before anything starts; raise PortTakenError."""
    try:
        return socket.create_server((host, port), family=_family(host), backlog=1024, reuse_port=False)
    except OSError as error:
        raise PortTakenError(host, port, error.strerror or str(error)) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@app.default
def ingest(
    *,
    until_end: Annotated[bool, Parameter(negative=())] = False,
    host: str = "127.0.0.1",
    log_form: Annotated[log.Form | None, Parameter(name="--log")] = None,
) -> int:
    """Run the adapters.

    Parameters
    ----------
    until_end
        Exit with 0 when the broadcast feed has ended (header Feed-End: true) and Kafka has all of it.
        For a replay: only the adapter "broadcast" may run then.
    host
        Address to listen on for pushes and health; the port is TOUCHLINE_PORT_BASE + 1.
    log_form
        Form of the log lines on standard error; by default plain on a terminal, else json.
    """
    log.configure(log_form)
    try:
        chosen = settings.load()
        export_metrics(chosen, "ingest")
        adapters = adapters_of(chosen)
        if until_end and adapters != [poll.SOURCE]:
            return _complain("--until-end needs TOUCHLINE_INGEST_ADAPTERS=broadcast: the others never end")
        listener = listener_on(host, chosen.port("ingest")) if push.SOURCE in adapters else None
    except (settings.SettingsError, PortTakenError) as error:
        return _complain(str(error))
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Ingest(chosen, listener, until_end).run())
    return 0


def _complain(reason: str) -> int:
    sys.stderr.write(f"ingest: {reason}\n")
    return USAGE_ERROR


if __name__ == "__main__":
    sys.exit(app())
