"""A moment of a match for people: two columns, and what made the difference."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recovery.matches.changes import score_text
from recovery.matches.clock import Reading
from recovery.matches.telling import KnownThen, Telling
from schemas.live import Score

_STYLES = {"yellow_card": "yellow", "second_yellow_card": "yellow", "red_card": "red"}


def show(telling: Telling, console: Console) -> None:
    """Print what was known and what is known, side by side, and the differences in words."""
    console.print(_title(telling))
    if telling.asked == "head":
        console.print(_column(telling.now))
        return
    columns = Table(box=None, pad_edge=False, padding=(0, 3, 1, 0), expand=False)
    columns.add_column("As known then", overflow="fold", header_style="bold")
    columns.add_column("As known now", overflow="fold", header_style="bold")
    columns.add_row(_column(telling.then), _column(telling.now))
    console.print(columns)
    if not telling.is_passed:
        console.print(Text("The log has not passed this moment yet: more may come.", "bold yellow"))
    if not telling.changes:
        console.print(Text("Nothing is known otherwise since.", "bold green"))
        return
    console.print(Text("Known otherwise since:", "bold"))
    for change in telling.changes:
        console.print(Text(f"  {change.words}"))
        if change.seq is not None and change.appended_at is not None:
            since = f", {_after(telling, change.appended_at.timestamp())}" if telling.then.appended_at else ""
            at = change.appended_at.isoformat(timespec="milliseconds")
            console.print(Text(f"    by seq {change.seq}, appended at {at}{since}", "dim"))


def _title(telling: Telling) -> Text:
    fixture = telling.now.fixture
    names = f"{fixture.home} - {fixture.away}" if fixture.described >= 0 else telling.match
    where = f"match {telling.match}, shard {telling.shard}, generation {telling.generation}"
    moment = "now" if telling.asked == "head" else f"at {telling.moment}"
    return Text.assemble((f"{names} {moment}", "bold"), (f"   {where}", "dim"))


def _column(known: KnownThen) -> Text:
    text = Text.assemble(
        (score_text(known.score), "bold cyan"),
        f"  {known.status}, clock {known.clock}\n",
    )
    if known.shoot_out != Score():
        text.append(f"shoot-out {score_text(known.shoot_out)}\n")
    for goal in known.goals:
        own = ", own goal" if goal.type == "own_goal" else ""
        who = goal.player or "unknown"
        text.append(f"{Reading(goal.period, goal.clock)!s:>7}  {score_text(goal.score)}  {who}{own}\n")
    for card in known.cards:
        side = f" ({card.side})" if card.side else ""
        text.append(f"{Reading(card.period, card.clock)!s:>7}  ")
        text.append(card.type.replace("_", " "), _STYLES.get(card.type, ""))
        text.append(f"  {card.player}{side}\n")
    if known.appended_at is None:
        text.append("before the first event", "dim")
    else:
        stamp = known.appended_at.isoformat(timespec="milliseconds")
        text.append(f"seq {known.seq}, position {known.position}\n{stamp}", "dim")
    return text


def _after(telling: Telling, appended: float) -> str:
    """How long after what was known then."""
    assert telling.then.appended_at is not None
    seconds = appended - telling.then.appended_at.timestamp()
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s later" if minutes else f"{seconds:.1f} s later"
