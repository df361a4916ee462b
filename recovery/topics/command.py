"""`python -m recovery topics`: look at the lives of the raw topics, and adopt a new one."""

from collections.abc import Sequence
from typing import Annotated

import cyclopts
import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from recovery.deadletters.desk import DONE, REFUSED, RefusedError, confirm, run, write_json
from recovery.topics.lives import PAST, REPLACED, TopicLine, adopt, look_at_topics
from settings import load

app = cyclopts.App(name="topics", version_flags=[])

_Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON.")]


@app.default
def topics(*, json: _Json = False) -> int:
    """Show the lives of the raw topics; return the exit status."""

    def work(_: Console) -> int:
        lines = look_at_topics(load())
        _print(lines, json)
        return REFUSED if any(line.state in (REPLACED, PAST) for line in lines) else DONE

    return run(work, json)


@app.command(name="adopt")
def adopt_lives(
    *,
    dry_run: Annotated[
        bool, Parameter(negative=(), help="Print what would be done, and do nothing.")
    ] = False,
    yes: Annotated[bool, Parameter(negative=(), help="Do not ask first.")] = False,
    json: _Json = False,
) -> int:
    """Let lanes read the new life of each topic that was replaced, from its beginning.

    What the log has already is found by its identity and counts once, so a topic that was filled again from a
    source or a mirror does no harm. Records of the old life that no lane had read are gone with it: `audit
    --ledger` tells which, when there is one. Lanes that stopped for it start again under a supervisor.

    Exit status: 0 done, or nothing was replaced; 1 nobody said yes, or Kafka has a life that the log was fed
    from before the last one; 2 Kafka or PostgreSQL did not answer.
    """

    def work(errors: Console) -> int:
        settings = load()
        lines = look_at_topics(settings)
        for line in lines:
            if line.state == PAST:
                raise RefusedError(
                    f"Kafka has an earlier life of {line.topic}, {line.topic_id} in {line.cluster_id};"
                    " its offsets in the log are old. Is TOUCHLINE_KAFKA right?"
                )
        replaced = [line for line in lines if line.state == REPLACED]
        for line in replaced:
            errors.print(_announcement(line), markup=False, soft_wrap=True)
        if replaced and not dry_run:
            confirm("Adopt?", yes, errors)
            adopt(settings, replaced)
        if json:
            write_json({"adopted": replaced, "dry_run": dry_run})
        elif not replaced:
            Console().print("Nothing was replaced, so nothing was done.")
        else:
            Console().print("Nothing was done." if dry_run else f"Adopted {len(replaced)}; start the lanes.")
        return DONE

    return run(work, json)


def _announcement(line: TopicLine) -> str:
    _, known = line.fed_from or ("", "")
    return (
        f"{line.topic}: from {line.topic_id} on cluster {line.cluster_id} instead of {known}; lanes will read"
        f" {line.records:,} records from its beginning."
    )


def _print(lines: Sequence[TopicLine], json: bool) -> None:
    if json:
        write_json(msgspec.to_builtins(lines))
        return
    table = Table("topic", "the log is fed from", "Kafka has", "records", "", box=None, pad_edge=False)
    for line in lines:
        known = line.fed_from[1] if line.fed_from else ""
        table.add_row(line.topic, known, line.topic_id, f"{line.records:,}", line.state)
    Console().print(table)
