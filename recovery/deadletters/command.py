"""`python -m recovery deadletters`: the commands, as people type them."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter
from rich.console import Console

from recovery.audit.meter import Bar
from recovery.deadletters.desk import DONE, REFUSED, RefusedError, confirm, opened_desk, run, who, write_json
from recovery.deadletters.edit import edited_by_hand, with_fields_set
from recovery.deadletters.parking import park, parked, release
from recovery.deadletters.plan import REFUSED as WILL_BE_REFUSED
from recovery.deadletters.plan import Step
from recovery.deadletters.printing import show_letter, show_list, show_plan, show_result
from recovery.deadletters.redrive import HELD_BACK, Result, Ways, redrive, steps_of, target
from recovery.deadletters.selection import Selection, number_of, wanted_by
from recovery.deadletters.sending import RawProducer
from recovery.moments import read_length
from schemas.validation import Rejection, parse
from storage.dead_letters import (
    CORRECTED,
    DISCARDED,
    EVENT,
    PARKED,
    REPEAT,
    SENT,
    STATES,
    Change,
    DeadLetters,
    Letter,
    Wanted,
)

app = cyclopts.App(name="deadletters", version_flags=[])

_Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON.")]
_Yes = Annotated[bool, Parameter(negative=(), help="Do not ask first.")]
_DryRun = Annotated[bool, Parameter(negative=(), help="Print what would be done, and do nothing.")]
_Number = Annotated[int, Parameter(help="Numbers of letters, as `list` prints them.")]
_OneNumber = Annotated[int, Parameter(help="Number of a letter, as `list` prints it.")]
_EVERYTHING = Selection()

for about_a_match in (park, release, parked):
    app.command(about_a_match)


@app.command(name="list")
def list_letters(
    *,
    select: Selection = _EVERYTHING,
    newest: Annotated[int, Parameter(help="How many of the newest to show.")] = 20,
    every: Annotated[bool, Parameter(negative=(), help="Also those that are settled.")] = False,
    json: _Json = False,
) -> int:
    """Count dead letters by reason and topic, and show the newest.

    A settled letter became an event or a repeat of one, was refused again (as a letter of its own), or was
    discarded: --every shows those too.

    Exit status: 0 done; 2 an option names nothing that could be there, or the database is out of reach.
    """

    def work(_: Console) -> int:
        states = STATES if every else Wanted().states
        wanted = wanted_by(select, (), datetime.now(UTC), states)
        shown = number_of("--newest", newest, 0)
        with opened_desk() as (_settings, desk):
            groups, lines = desk.groups(wanted), desk.newest(wanted, shown)
        if json:
            write_json({"groups": [g._asdict() for g in groups], "newest": [n._asdict() for n in lines]})
        else:
            show_list(groups, lines, Console())
        return DONE

    return run(work, json)


@app.command
def show(letter: _OneNumber, *, json: _Json = False) -> int:
    """Show a letter: why it was refused, where it came from, its bytes, and what was done about it.

    JSON is laid out for reading, anything else as hex. With --json bytes are base64.

    Exit status: 0 done; 1 no such letter; 2 no number of a letter, or the database is out of reach.
    """

    def work(_: Console) -> int:
        number_of("letter", letter, 1)
        with opened_desk() as (_settings, desk):
            found, history = _find(desk, letter), desk.history(letter)
        if json:
            write_json(found._asdict() | {"history": [action._asdict() for action in history]})
        else:
            show_letter(found, history, Console())
        return DONE

    return run(work, json)


@app.command
def edit(
    letter: _OneNumber,
    *,
    assignments: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set", negative=(), help="field=value, as in body.player=Messi; may be given again."
        ),
    ] = (),
    file: Annotated[Path | None, Parameter(help="Take the whole new record from this file.")] = None,
    anyway: Annotated[bool, Parameter(negative=(), help="Keep it although it would be refused.")] = False,
    dry_run: _DryRun = False,
    json: _Json = False,
) -> int:
    """Make a corrected copy of a letter, which `redrive` will send; the letter itself never changes.

    Without --set and --file it opens your editor ($VISUAL or $EDITOR). A second edit goes on from the copy. A
    letter `conflicting_duplicate` takes a higher revision to count as a correction: --set revision=2.

    Exit status: 0 done; 1 no such letter, or the copy would be refused too, saying why; 2 it could not run.
    """

    def work(_: Console) -> int:
        number_of("letter", letter, 1)
        with opened_desk() as (_settings, desk):
            desk.work_alone()
            found = _find(desk, letter)
            if found.state in (EVENT, REPEAT, PARKED):
                raise RefusedError(
                    f"Letter {letter} is settled as {found.state}: correct it with a new record."
                )
            copy = _corrected(found, assignments, file)
            if copy == found.value:
                raise RefusedError("Nothing was changed: that is what is there already.")
            verdict = parse(copy)
            if isinstance(verdict, Rejection) and not anyway:
                raise RefusedError(
                    f"Nothing was changed: it would be refused again. {verdict.reason}: {verdict.detail}"
                )
            if not dry_run:
                desk.record(who(), "edit", [Change(letter, CORRECTED, "", None, copy)])
        if json:
            write_json({"letter": letter, "corrected": copy, "dry_run": dry_run})
        else:
            console = Console(soft_wrap=True)
            done = "would have" if dry_run else "has"
            console.print(f"Letter {letter} {done} a corrected copy of {len(copy):,} bytes:")
            console.print(copy.decode("utf-8", "backslashreplace"), markup=False)
            if not dry_run:
                console.print(f"Send it: python -m recovery deadletters redrive {letter}")
        return DONE

    return run(work, json)


def _corrected(found: Letter, assignments: tuple[str, ...], file: Path | None) -> bytes:
    if assignments and file is not None:
        raise RefusedError("--set and --file do not go together.")
    if assignments:
        return with_fields_set(found.value, assignments)
    return edited_by_hand(found.value) if file is None else file.read_bytes()


@app.command(name="redrive")
def redrive_letters(
    *letters: _Number,
    select: Selection = _EVERYTHING,
    again: Annotated[bool, Parameter(negative=(), help="Also those that are settled.")] = False,
    anyway: Annotated[
        bool, Parameter(negative=(), help="Also those that will surely be refused again.")
    ] = False,
    within: Annotated[str, Parameter(help="Wait so long for the log's answer to each.")] = "30s",
    dry_run: _DryRun = False,
    yes: _Yes = False,
    json: _Json = False,
) -> int:
    """Send letters back to the lane that refused them, in the order of each match, and print what came of it.

    Name letters, or choose them by the options. A corrected copy goes instead of the original. A record goes
    to the topic of its source and the partition of its match, so one that lay on a wrong one is put right. It
    counts once, however often it is sent: by its identity. What would surely be refused again is held back.

    Exit status: 0 each is an event, a repeat of one or parked; 1 some were refused again, held back or not
    answered in time, or nothing was chosen; 2 it could not run. After a 2, run it again.
    """

    def work(errors: Console) -> int:
        wanted = _chosen(letters, select, again)
        seconds = read_length("--within", within).total_seconds()
        with opened_desk() as (settings, desk):
            steps = [step for chunk in steps_of(desk, wanted, settings.shards) for step in chunk]
            _refuse_if_none(desk, letters, {step.letter for step in steps})
            if dry_run:
                return _show_steps(steps, anyway, json)
            to_send = [step for step in steps if anyway or step.expected != WILL_BE_REFUSED]
            places = ", ".join(sorted({target(step) for step in to_send}))
            errors.print(_announcement(steps, to_send, places), markup=False, soft_wrap=True)
            if to_send:
                confirm("Send them?", yes, errors)
            desk.work_alone()
            ways = Ways(settings.shards, who(), anyway, seconds)
            shown = wanted._replace(letters=[step.letter for step in steps])
            results: list[Result] = []
            producer = RawProducer(settings.kafka, settings.topic_prefix)
            with Bar(errors) as meter:
                meter.begin("sending letters", len(steps))
                for result in redrive(desk, producer, shown, ways, meter):
                    results.append(result)
                    if not json:
                        show_result(result, Console())
        return _sum_up(results, len(steps), errors, json)

    return run(work, json)


def _announcement(steps: list[Step], to_send: list[Step], places: str) -> str:
    held = len(steps) - len(to_send)
    said = f"{len(to_send):,} letters go to {places}." if to_send else "No letter can go."
    return f"{said} {held:,} are held back, as they would be refused again: edit them." if held else said


def _show_steps(steps: list[Step], anyway: bool, json: bool) -> int:
    held = 0 if anyway else sum(step.expected == WILL_BE_REFUSED for step in steps)
    if json:
        write_json([_as_json(step, anyway) for step in steps])
    else:
        show_plan(steps, Console())
        Console().print(f"Would send {len(steps) - held:,} letters and hold back {held:,}. Nothing was done.")
    return REFUSED if held else DONE


def _as_json(step: Step, anyway: bool) -> dict[str, Any]:
    told = step._asdict()
    identity = told.pop("identity")
    is_held = step.expected == WILL_BE_REFUSED and not anyway
    return told | {"event_id": identity.key.hex() if identity else None, "is_held_back": is_held}


def _sum_up(results: list[Result], asked: int, errors: Console, json: bool) -> int:
    counts = Counter(result.state for result in results)
    untouched = asked - len(results)
    if json:
        write_json({"counts": counts, "untouched": untouched, "letters": results})
    said = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    errors.print(f"{said}." if said else "Nothing was sent.", markup=False)
    if counts[HELD_BACK]:
        errors.print("Held back: correct them with `edit`, or send them with --anyway.")
    if counts[SENT] or untouched:
        errors.print(
            f"{counts[SENT]:,} without an answer, {untouched:,} not sent after them. Is a lane running? Look"
            " with ./dev status, then run it again: nothing counts twice.",
            soft_wrap=True,
        )
    return DONE if counts[EVENT] + counts[REPEAT] + counts[PARKED] == asked else REFUSED


@app.command
def discard(
    *letters: _Number,
    because: Annotated[str, Parameter(help="Why, for whoever reads the trail later.")],
    select: Selection = _EVERYTHING,
    dry_run: _DryRun = False,
    yes: _Yes = False,
    json: _Json = False,
) -> int:
    """Mark letters as settled without sending them, and say why; they stay where they are.

    `redrive --again` takes a discarded letter all the same.

    Exit status: 0 done; 1 nothing was chosen or nobody said yes; 2 it could not run.
    """

    def work(errors: Console) -> int:
        wanted = _chosen(letters, select, again=False)
        with opened_desk() as (_settings, desk):
            found = [letter.letter for chunk in desk.chunks(wanted) for letter in chunk]
            _refuse_if_none(desk, letters, set(found))
            if not dry_run:
                confirm(f"Discard {len(found):,} dead letters?", yes, errors)
                desk.work_alone()
                for start in range(0, len(found), 1_000):
                    part = found[start : start + 1_000]
                    desk.record(who(), "discard", [Change(n, DISCARDED, because) for n in part])
        if json:
            write_json({"discarded": found, "because": because, "dry_run": dry_run})
        else:
            Console().print(
                f"{'Would discard' if dry_run else 'Discarded'} {len(found):,} dead letters: {because}"
            )
        return DONE

    return run(work, json)


def _chosen(letters: tuple[int, ...], select: Selection, again: bool) -> Wanted:
    """Raise RefusedError when nothing was said: everything is never meant by accident."""
    if not letters and select.is_empty:
        raise RefusedError("Name letters, or choose them: --reason, --source, --match, --since, --until.")
    return wanted_by(select, letters, datetime.now(UTC), STATES if again else Wanted().states)


def _find(desk: DeadLetters, letter: int) -> Letter:
    found = desk.find(letter)
    if found is None:
        raise RefusedError(f"There is no dead letter {letter}; `list` shows those that are there.")
    return found


def _refuse_if_none(desk: DeadLetters, named: tuple[int, ...], found: set[int]) -> None:
    """Raise RefusedError for a letter that was named and not found, or when there is none at all."""
    for number in named:
        if number not in found:
            letter = _find(desk, number)
            raise RefusedError(
                f"Letter {number} is settled as {letter.state}, or does not fit the options: `show {number}`"
                " tells; redrive --again takes settled ones too."
            )
    if not found:
        raise RefusedError(
            "No dead letter fits; `list` shows those that are there, `list --every` settled ones too."
        )
