"""What a command line says about which letters it is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from cyclopts import Parameter

from recovery.moments import FORMS, read_moment
from schemas.letters import REASONS
from schemas.raw import RAW_TOPICS, TOPIC_OF_SOURCE
from storage.dead_letters import UNSETTLED, Wanted

_MOST = 2**63 - 1  # a bigint


class SelectionError(ValueError):
    """What was asked for names nothing that could be there."""

    def __init__(self, option: str, value: str, known: str) -> None:
        super().__init__(f"{option} {value}: {known}")
        self.option = option
        self.value = value


@Parameter(name="*")
@dataclass(frozen=True)
class Selection:
    """Options that all commands about several letters share."""

    reason: Annotated[tuple[str, ...], Parameter(help="Only of this reason; may be given again.")] = ()
    source: Annotated[
        tuple[str, ...], Parameter(help="Only from this topic or source (broadcast-events, broadcast).")
    ] = ()
    match: Annotated[str | None, Parameter(help="Only of this match.")] = None
    since: Annotated[str | None, Parameter(help=f"Rejected since: {FORMS}.")] = None
    until: Annotated[str | None, Parameter(help="Rejected until, in the same forms.")] = None

    @property
    def is_empty(self) -> bool:
        return self == Selection()


def wanted_by(
    selection: Selection, letters: Sequence[int], now: datetime, states: Sequence[str] = UNSETTLED
) -> Wanted:
    """The letters that were named and fit the options; raise SelectionError, UnreadableMomentError."""
    for reason in selection.reason:
        if reason not in REASONS:
            raise SelectionError("--reason", reason, f"the reasons are {', '.join(REASONS)}")
    return Wanted(
        letters=[number_of("letter", letter, 1) for letter in letters],
        reasons=selection.reason,
        topics=[_topic(source) for source in selection.source],
        match=selection.match,
        since=_moment("--since", selection.since, now),
        until=_moment("--until", selection.until, now),
        states=states,
    )


def number_of(option: str, number: int, least: int) -> int:
    """A number that the database can look for; raise SelectionError."""
    if not least <= number <= _MOST:
        raise SelectionError(option, str(number), f"say a number from {least} to {_MOST}")
    return number


def _topic(source: str) -> str:
    topic = TOPIC_OF_SOURCE.get(source, source)
    if topic not in RAW_TOPICS:
        raise SelectionError("--source", source, f"the topics are {', '.join(RAW_TOPICS)}")
    return topic


def _moment(option: str, text: str | None, now: datetime) -> datetime | None:
    return None if text is None else read_moment(option, text, now)
