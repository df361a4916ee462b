"""`python -m recovery topics`: look at the raw topics, adopt a new life of one, make them fit the shards."""

from collections.abc import Sequence
from typing import Annotated

import cyclopts
import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from recovery.audit.servers import naming_servers
from recovery.deadletters.desk import DONE, REFUSED, RefusedError, confirm, run, write_json
from recovery.topics.cluster import TopicAdmin
from recovery.topics.fit import Fitter, TopicFit, fit_of
from recovery.topics.lives import PAST, REPLACED, TopicLine, adopt, look_at_topics
from settings import load
from storage.connect import connect
from storage.lane_reads import ShardsNotOfLogError, check_shards

app = cyclopts.App(name="topics", version_flags=[])

_Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON.")]
_DryRun = Annotated[bool, Parameter(negative=(), help="Print what would be done, and do nothing.")]
_Yes = Annotated[bool, Parameter(negative=(), help="Do not ask first.")]


@app.default
def topics(*, json: _Json = False) -> int:
    """Show the raw topics, their lives and partitions; return the exit status."""

    def work(_: Console) -> int:
        lines = look_at_topics(load())
        _print(lines, json)
        return REFUSED if any(line.state in (REPLACED, PAST) or not line.fits for line in lines) else DONE

    return run(work, json)


@app.command(name="adopt")
def adopt_lives(
    *,
    dry_run: _DryRun = False,
    yes: _Yes = False,
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


class Fitted(msgspec.Struct, frozen=True):
    """What was done about a topic."""

    topic: str
    added: int  # partitions
    sent: int  # records, to the partitions of their matches
    unread: int  # offsets that are still, or again, where no lane reads


@app.command
def fit(
    *,
    dry_run: _DryRun = False,
    yes: _Yes = False,
    json: _Json = False,
) -> int:
    """Make the raw topics fit TOUCHLINE_SHARDS: every partition has a lane that reads it.

    Partitions that are missing are added. Records in partitions beyond the shards, which no lane reads, are
    sent to the partitions of their matches and then deleted where they lay; what the log has counts once.
    Kafka takes no partitions away: they stay, empty, and lanes start. Have producers choose partitions by
    TOUCHLINE_SHARDS, or they write there again; what they wrote to partitions of other matches is in dead
    letters, and `deadletters redrive --reason wrong_partition` sends it home.

    Exit status: 0 all topics fit; 1 nobody said yes, the log was written with another number of shards, or
    records came in meanwhile where no lane reads; 2 Kafka or PostgreSQL did not answer.
    """

    def work(errors: Console) -> int:
        settings = load()
        admin = TopicAdmin(settings)
        todo = [fit for topic in admin.look() if not (fit := fit_of(topic, settings.shards)).fits]
        if todo:
            try:
                with naming_servers(settings), connect(settings.postgres, "touchline-topics") as connection:
                    check_shards(connection, settings.shards)
            except ShardsNotOfLogError as error:
                raise RefusedError(f"{error} Nothing was done.") from error
        for topic in todo:
            errors.print(_plan(topic, settings.shards), markup=False, soft_wrap=True)
        if todo and not dry_run:
            confirm("Do it?", yes, errors)
        fitter = Fitter(settings, admin)
        sent = {topic.topic: 0 if dry_run else fitter.fit(topic) for topic in todo}
        left = {topic.topic: fit_of(topic, settings.shards).unread for topic in admin.look()}
        fitted = [
            Fitted(topic.topic, 0 if dry_run else topic.missing, sent[topic.topic], left[topic.topic])
            for topic in todo
        ]
        if json:
            write_json({"topics": fitted, "dry_run": dry_run})
        else:
            _tell_fitted(fitted, dry_run)
        return REFUSED if not dry_run and any(topic.unread for topic in fitted) else DONE

    return run(work, json)


def _plan(topic: TopicFit, shards: int) -> str:
    if topic.missing:
        return f"{topic.topic}: {topic.missing} partitions will be added to its {topic.partitions}."
    places = ", ".join(str(stray.partition) for stray in topic.strays)
    return (
        f"{topic.topic}: {topic.unread:,} records in partitions {places} will be sent to the partitions of"
        f" their matches, which are below {shards}, and deleted there."
    )


def _tell_fitted(fitted: Sequence[Fitted], dry_run: bool) -> None:
    console = Console()
    if not fitted or dry_run:
        console.print("Nothing was done." if fitted else "All topics fit, so nothing was done.")
    for topic in () if dry_run else fitted:
        left = f"; {topic.unread:,} came in meanwhile, so run it again" if topic.unread else ""
        said = f"{topic.topic}: {topic.added} partitions added, {topic.sent:,} records sent{left}."
        console.print(said, markup=False, soft_wrap=True)


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
    table = Table(
        "topic", "the log is fed from", "Kafka has", "partitions", "records", "", box=None, pad_edge=False
    )
    for line in lines:
        known = line.fed_from[1] if line.fed_from else ""
        state = line.state if line.fits else f"{line.state}; partitions do not fit, see topics fit"
        table.add_row(line.topic, known, line.topic_id, str(line.partitions), f"{line.records:,}", state)
    Console().print(table)
