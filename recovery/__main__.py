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

_MATCH = """
Show a match at a moment: as it was known then, as it is known now, and what made the difference.

The order of the log is the order of knowledge, the match clock the order of what happened. As known then:
every event up to the one that carried the match's furthest clock beyond the moment. As known now: all of
the log, counting what happened up to and with the moment; so corrections and late events that came since
are in it. A wrong clock reading far ahead makes the log pass early: ask by --as-of or --seq then.

--at reads the match clock: 63:12 is minute:second. The first half's stoppage time and the second half show
the same minutes: without a period, a reading below 45:00 is of the first half and one from 45:00 on of the
second; 45+2:10 is two minutes and ten seconds into the first half's stoppage time (what broadcasters call
45+3'), and so 90+, 105+ and 120+; 1/47:10 names the period, 3 and 4 are extra time, 5 the shoot-out. From
90:00 on, a match with extra time needs one of these forms. --as-of and --seq name a moment of the log;
its match clock is then the moment that is seen again now. Without any, the match as known now. Reads only.

    python -m recovery match fra-2031 --at 63:12
    python -m recovery match fra-2031 --as-of 2026-03-16T21:20:00+01:00 --json

Exit status: 0 shown, whether or not anything is known otherwise; 1 no such match or moment, saying why;
2 it could not run, and says why.
"""

_PREPARE = """Make a lane's recovery store fit to start from.

Creates it when it is missing, and deletes what no closed flow epoch wrote: Bytewax would load it at the
start after the next. For a dataflow that is not running; a lane does it by itself before it starts.

Exit status: 0 done, 1 the store cannot be used, saying why.
"""

_REPLAY = """
Fold a range of the log again with other code, and show what would change. The log itself stays as it is.

Two uses. On a new checkout, without --code: what its fold makes of a log that an older one wrote. And with
--code MODULE:FUNCTION: what a function would make of it that takes an image and a record and returns the
next image, as schemas.fold:advance does; a FOLD_VERSION of its module is shown. Compared are running scores
and bytes of live events, saved images, and the image of each match at the end of the range with that of
the installed fold. A range that starts in the middle of a match starts from the installed fold's image, so
what differs comes from the range.

The result fills a schema replay_<time> beside the log (unlogged tables events, images, differences; it takes
about as much room as the range's payloads), which is dropped at the end, or with --keep left to be queried.
A killed replay leaves its schema: the next one names it, --drop NAME removes it.

    python -m recovery replay --match fra-2031 --code my_fold:advance
    python -m recovery replay --shard 3 --from-position 1000 --to-position 2000 --dry-run

Exit status: 0 nothing would change (or done, for --dry-run and --drop); 1 something would;
2 it could not run, and says why.
"""

_INSPECT = """Show what recovery stores hold, and whether they can be used.

Of each: execution and resume point, read offsets per shard and topic, size of the state per step, rows of
unclosed flow epochs, age, and how far it is behind Kafka's ends and the log. Lanes may run meanwhile.
Every page is checked. Reads only.

Exit status: 0 all are sound; 1 one is missing, damaged, mixed or foreign, each named with its reason;
2 it could not run, and says why.
"""

_RESTORE = """Put recovery stores of a backup in their place.

Says first which backup, where the old stores go (aside, `<store>.before-<time>`) and what a lane then reads
again. All stores are fetched and checked before the first is put in its place, and each is put there in one
step: a crash leaves the old one or the new one. A store in use is refused: stop its lane first.

Without a name the newest backup is taken; `--as-of 2026-05-30T21:04:05Z` or `--as-of 10m` (ago) takes the
newest not after that time, `--match ID --at 63:12` the newest not after the log passed that match clock.

Exit status: 0 done; 1 refused (no such backup, damaged, a store in use), each by name; 2 it could not run.
"""

_REWIND = """Make a recovery store resume at an earlier point that it still has.

Alone with the store's name it shows which flow epochs there are: those of the last `-b` seconds of its lane.
The store as it was stays aside. A store in use is refused: stop its lane first. For a lane of enrich only
the memory of recent events goes back: where it reads on, the log says.

Exit status: 0 done; 1 refused (the point is gone, a store in use or damaged); 2 it could not run.
"""

_BACKUP = """Copies of all recovery stores at one cut, in a folder or S3.

TOUCHLINE_BACKUP says where (a folder, s3://bucket/prefix; by default `backups` in the data folder), for S3
the usual AWS_* variables how. A backup exists once its manifest is there, which is written last.
"""

_CREATE = """Back up all recovery stores at one cut, while lanes run.

The copies are as of one moment; the manifest names resume points, read offsets, what Kafka and Postgres held
right after, and the SHA-256 of each file. A server that does not answer is said to be unknown. At the end the
backup is restored into a scratch folder and checked.

Exit status: 0 done; 1 refused (no store, one that is damaged, lanes too fast to copy), by name; 2 the place
did not answer, or it could not run.
"""

_LIST = """Show the backups that are there; one without a manifest is named as incomplete.

Exit status: 0 done; 2 the place did not answer.
"""

_VERIFY = """Check backups: hashes, every page of each copy, and a restore into a scratch folder.

The newest, one by its name, or `--all`.

Exit status: 0 sound; 1 damaged, incomplete or not there, each by name; 2 the place did not answer.
"""

_PRUNE = """Remove old backups: what is neither among the newest `--keep` nor `--younger-than`.

The newest always stays. One without a manifest goes when it is older than an hour.

Exit status: 0 done; 2 the place did not answer, or nothing says what stays.
"""

_RUN = """Back up and prune again and again: a process of its own, which says in its log what it did.

Outlives outages: after a failure it tries again sooner than the interval, less often with each. SIGTERM ends
it after the backup that is being made.

Exit status: 0 stopped; 2 it could not start.
"""

# By import path, so that a child that only prepares a store starts without
# Kafka, Postgres and Redis clients; help is here, so that listing the
# commands imports none of them.
app = cyclopts.App(
    name="python -m recovery",
    help="Look after the log: recovery stores, their backups, and the proof that nothing was lost.",
    version_flags=[],
)
app.command("recovery.audit.command:audit", name="audit", help=_AUDIT)
app.command("recovery.matches.command:match", name="match", help=_MATCH)
app.command("recovery.stores.inspect_command:inspect", name="inspect", help=_INSPECT)
app.command("recovery.stores.restore_command:restore", name="restore", help=_RESTORE)
app.command("recovery.stores.restore_command:rewind", name="rewind", help=_REWIND)
backup = cyclopts.App(name="backup", help=_BACKUP, version_flags=[])
backup.command("recovery.backup.command:create", name="create", help=_CREATE)
backup.command("recovery.backup.command:list_backups", name="list", help=_LIST)
backup.command("recovery.backup.command:verify", name="verify", help=_VERIFY)
backup.command("recovery.backup.command:prune", name="prune", help=_PRUNE)
backup.command("recovery.backup.command:run", name="run", help=_RUN)
app.command(backup)
app.command("recovery.prepare_store:prepare", name="prepare", help=_PREPARE)
app.command("recovery.replay.command:replay", name="replay", help=_REPLAY)

if __name__ == "__main__":
    app()
