"""The audit weighs each event anew, and takes the word of rows from before the rules of now."""

from datetime import UTC, datetime

import msgspec
import pytest

from recovery.audit.findings import Findings
from recovery.audit.log_check import LogCheck
from recovery.audit.tally import Tallies
from schemas.fold import FOLD_VERSION, empty_image, fold
from schemas.identity import ZERO_CHAIN, body_hash, key_of, next_chain
from schemas.live import encode_live_around
from schemas.raw import SocialBody
from schemas.weight import WEIGHED_SINCE, importance_of
from storage.audit_reads import LogRow, ShardRow
from storage.copy_rows import microseconds
from tests.event_builders import MATCH, a_post, as_read

EVENT = msgspec.structs.replace(a_post(), body=SocialBody(text="Гол"))
RIGHT = importance_of(EVENT)
AT = datetime(2026, 5, 30, 20, tzinfo=UTC)


def told(importance: int, language: str, version: int = FOLD_VERSION) -> dict[str, int]:
    """What an audit says of a log of one row with these."""
    key, body = key_of(EVENT), body_hash(EVENT)
    image, live = fold(empty_image(MATCH), EVENT, key.hex(), AT, importance, language)
    chain = next_chain(ZERO_CHAIN, key, body)
    row = LogRow(
        1,
        MATCH,
        image.seq,
        key,
        body,
        chain,
        3,
        0,
        microseconds(EVENT.occurred_at),
        microseconds(AT),
        True,
        version,
        encode_live_around(as_read(EVENT).record, live),
    )
    findings = Findings(9)
    check = LogCheck(ShardRow(0, 1, 0, ZERO_CHAIN, 1, chain), 1, {3: "social-events"}, findings, Tallies())
    check.take([row], [])
    check.finish()
    return findings.counts


@pytest.mark.parametrize(
    ("importance", "language", "differences"),
    [(RIGHT, "ru", {}), (9, "ru", {"payload": 1}), (RIGHT, "und", {"payload": 1}), (9, "de", {"payload": 2})],
)
def test_importance_and_language_are_those_of_the_record(
    importance: int, language: str, differences: dict[str, int]
) -> None:
    assert told(importance, language) == differences


def test_a_row_from_before_the_rules_of_now_is_taken_at_its_word() -> None:
    """Or no rule could ever change: the audit would be red for ever."""
    assert "payload" not in told(9, "de", WEIGHED_SINCE - 1)
