"""`python -m recovery`: the commands for people who look after an installation."""

import cyclopts

_AUDIT = """Compare Kafka, Postgres and Redis, match by match.

Every raw record in Kafka must be an event in Postgres, a repeat of one or a dead letter. Every event is
folded and hashed anew: positions and seqs without holes, the chain, running scores, saved images. Every
entry of the live streams in Redis must hold the log's bytes. Reads only.

While events are coming in, ask it to wait: `--settle 60s`. It then compares what Kafka held at the start.

`--follow` goes on for ever instead: every 2 s it compares what the log had 5 s ago with the live streams,
row by row. A delivery that is missing or forked is told within 10 s: as a log line, as metric
`audit_differences`, and with `--json` as a line of JSON. SIGTERM or Ctrl-C ends it.

Exit status: 0 clean; 1 a difference, the first ones of each kind named, or not settled in time;
2 it could not run, and says why.
"""

_PREPARE = """Make a lane's recovery store fit to start from.

Creates it when it is missing, and deletes what no closed flow epoch wrote: Bytewax would load it at the
start after the next. For a dataflow that is not running; a lane does it by itself before it starts.

Exit status: 0 done, 1 the store cannot be used, saying why.
"""

# By import path, so that a child that only prepares a store starts without
# Kafka, Postgres and Redis clients; help is here, so that listing the
# commands imports none of them.
app = cyclopts.App(
    name="python -m recovery",
    help="Look after the log: prepare recovery stores, prove that nothing was lost.",
    version_flags=[],
)
app.command("recovery.audit.command:audit", name="audit", help=_AUDIT)
app.command("recovery.prepare_store:prepare", name="prepare", help=_PREPARE)

if __name__ == "__main__":
    app()
