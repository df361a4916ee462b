"""`python -m recovery`: the commands for people who look after an installation.

Commands are named by import path, and their help lies in `help/`: a child that
only prepares a store starts without clients of Kafka, Postgres and Redis, and
listing the commands imports none of them.
"""

from pathlib import Path

import cyclopts

_HELP = Path(__file__).with_name("help")


def _add(to: cyclopts.App, name: str, path: str, topic: str = "") -> None:
    """Add a command by its import path; its help is the text of that topic, by default its name."""
    to.command(path, name=name, help=_help(topic or name))


def _help(topic: str) -> str:
    return (_HELP / f"{topic}.txt").read_text()


app = cyclopts.App(
    name="python -m recovery",
    help="Look after the log: prove that nothing was lost, back up, restore, mend dead letters, look back.",
    help_format="plaintext",
    version_flags=[],
)
_add(app, "audit", "recovery.audit.command:audit")
_add(app, "deadletters", "recovery.deadletters.command:app")
_add(app, "drill", "recovery.drill.command:drill")
_add(app, "inspect", "recovery.stores.inspect_command:inspect")
_add(app, "lanes", "recovery.lanes.command:app")
_add(app, "match", "recovery.matches.command:match")
_add(app, "prepare", "recovery.prepare_store:prepare")
_add(app, "replay", "recovery.replay.command:replay")
_add(app, "restore", "recovery.stores.restore_command:restore")
_add(app, "rewind", "recovery.stores.restore_command:rewind")
_add(app, "topics", "recovery.topics.command:app")

backup = cyclopts.App(name="backup", help=_help("backup"), help_format="plaintext", version_flags=[])
_add(backup, "create", "recovery.backup.command:create", "backup-create")
_add(backup, "list", "recovery.backup.command:list_backups", "backup-list")
_add(backup, "prune", "recovery.backup.command:prune", "backup-prune")
_add(backup, "run", "recovery.backup.command:run", "backup-run")
_add(backup, "verify", "recovery.backup.command:verify", "backup-verify")
app.command(backup)

postgres = cyclopts.App(name="postgres", help=_help("postgres"), help_format="plaintext", version_flags=[])
_add(postgres, "archive", "recovery.postgres.archive_command:archive", "postgres-archive")
_add(postgres, "backup", "recovery.postgres.command:backup", "postgres-backup")
_add(postgres, "begin-lives", "recovery.postgres.restore_command:begin_lives_here", "postgres-begin-lives")
_add(postgres, "list", "recovery.postgres.command:list_backups", "postgres-list")
_add(postgres, "prune", "recovery.postgres.command:prune", "postgres-prune")
_add(postgres, "restore", "recovery.postgres.restore_command:restore", "postgres-restore")
_add(postgres, "verify", "recovery.postgres.command:verify_backups", "postgres-verify")
app.command(postgres)

if __name__ == "__main__":
    app()
