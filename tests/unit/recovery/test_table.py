"""The table fits a terminal of 80 columns and shows what differs first."""

import io

import pytest
from rich.console import Console

from recovery.audit.findings import Findings
from recovery.audit.history import HistoryNote
from recovery.audit.receipt import Receipt, write_receipt
from recovery.audit.table import show
from recovery.audit.tally import MatchTally, Tallies, TopicTally
from storage.store_errors import printable


def a_receipt(findings: Findings, matches: int = 3, unsettled: list[str] | None = None) -> Receipt:
    tallies = Tallies()
    tallies.topics["broadcast-events"] = TopicTally(
        topic="broadcast-events", topic_id="id", records=1_234_567, events=1_234_567
    )
    for number in range(matches):
        tally = tallies.match(f"match-{number:03d}", 7)
        tally.records = tally.events = tally.streamed = 12_345_678
    history = HistoryNote(file="audit.json", risen=["shard 3: generation 5 ended at 7 or later"])
    at = "2024-03-16T20:00:00Z"
    return write_receipt(tallies, findings, None, unsettled or [], history, None, at, 1.5, {})


def shown(receipt: Receipt) -> str:
    screen = io.StringIO()
    show(receipt, Console(file=screen, width=80))
    return screen.getvalue()


def test_clean_receipt_fits_80_columns() -> None:
    text = shown(a_receipt(Findings(9)))
    assert "…" not in text
    assert "match-000" in text
    assert "Clean" in text


def test_matches_that_differ_come_first_and_the_rest_is_counted() -> None:
    findings = Findings(1)
    for position in (8, 9):
        findings.add("chain", f"shard 7 position {position}", b"\x01", b"\x02", "match-059")
    receipt = a_receipt(findings, matches=60)
    text = shown(receipt)
    assert text.index("match-059") < text.index("match-000")
    assert "and 20 more" in text
    assert "chain: the chain does not follow from the row before (the first 1 of 2)" in text
    assert "shard 7 position 8" in text
    assert "2 differences." in text
    assert receipt.verdict == "different"


@pytest.mark.parametrize("name", ["[/red]", "[bold]m[/bold]", "m\x1b[2J", "m\x9b2J", "m\u202e"])
def test_a_match_may_be_called_anything(name: str) -> None:
    """A sender chose the name: it is neither markup nor something that a terminal obeys."""
    findings = Findings(1)
    findings.add("payload", f"row of {name}", name.encode(), name, name)
    receipt = a_receipt(findings)
    receipt.matches.append(MatchTally(match=name, shard=0))
    text = shown(receipt)
    assert printable(name) in text
    assert printable(text.replace("\n", "")) == text.replace("\n", "")


def test_what_did_not_settle_is_listed() -> None:
    receipt = a_receipt(Findings(9), unsettled=["broadcast-events[0]: 3 records missing"])
    assert receipt.verdict == "unsettled"
    assert "3 records missing" in shown(receipt)
