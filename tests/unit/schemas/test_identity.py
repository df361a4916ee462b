"""Stored digests. A change of any value here is a migration of every log."""

from datetime import timedelta

import msgspec
import pytest

from schemas.identity import (
    BODY_HASH_BYTES,
    CHAIN_BYTES,
    KEY_BYTES,
    ZERO_CHAIN,
    body_hash,
    event_key,
    key_of,
    match_prefix,
    next_chain,
)
from schemas.raw import DerivedBody, RawEvent
from tests.event_builders import KICK_OFF, a_goal, a_post, a_reading, a_translation


@pytest.mark.parametrize(
    ("record", "key", "digest"),
    [
        (a_goal(), "9f31f9e3f10278a73c56e1a2567ed511", "28aa5b0efd9f89c9"),
        (a_reading(), "9f31f9e374caef25e40927e8e9261667", "755e0c4e9952ab56"),
        (a_post(), "9f31f9e3912fd714748277ed71106e4a", "4536f9d85fd8f088"),
        (a_translation(), "9f31f9e3ca2de39d1b86507664e8f7ef", "32bcbd1cd1c88b1f"),
    ],
)
def test_key_and_hash_of_a_record_stay_what_logs_hold(record: RawEvent, key: str, digest: str) -> None:
    assert key_of(record).hex() == key
    assert body_hash(record).hex() == digest


def test_key_of_letters_beyond_ascii_and_the_largest_revision() -> None:
    key = event_key("partido-ñ", "social", "é", 2**53 - 1)
    assert key.hex() == "d674cc8ef6aa2039c84ec942b6b88922"


def test_chain_of_the_first_row() -> None:
    chain = next_chain(ZERO_CHAIN, key_of(a_goal()), body_hash(a_goal()))
    assert chain.hex() == "2dce18f7997c40e2973773346a051c86"


def test_digests_have_the_sizes_that_columns_and_packs_rely_on() -> None:
    goal = a_goal()
    assert len(key_of(goal)) == KEY_BYTES == 16
    assert len(body_hash(goal)) == BODY_HASH_BYTES == 8
    assert len(next_chain(ZERO_CHAIN, key_of(goal), body_hash(goal))) == CHAIN_BYTES == 16


def test_type_and_our_stamp_are_no_part_of_the_key() -> None:
    """A type change between revisions, or a second acceptance, is still the same event."""
    goal = a_goal()
    other = msgspec.structs.replace(goal, type="own_goal", ingested_at=KICK_OFF, action="modify")
    assert key_of(other) == key_of(goal)


def test_our_stamp_is_no_part_of_the_hash() -> None:
    """A repeat is accepted at another time, and is a repeat all the same."""
    stamped = msgspec.structs.replace(a_goal(), ingested_at=KICK_OFF + timedelta(hours=1))
    assert body_hash(stamped) == body_hash(a_goal())


def test_parts_of_an_identity_do_not_run_into_each_other() -> None:
    assert event_key("a", "social", "b1", 2) != event_key("a", "social", "b", 12)


def test_keys_of_a_match_lie_together() -> None:
    prefix = match_prefix("fra-2031")
    assert {key_of(r)[:4] for r in (a_goal(), a_post(), a_reading())} == {prefix}


def test_prefixes_stay_right_when_the_cache_is_emptied() -> None:
    """More matches than are remembered: slower, never another prefix."""
    before = match_prefix("fra-2031")
    for n in range(50_001):
        match_prefix(f"other-{n}")
    assert match_prefix("fra-2031") == before


def test_values_of_a_derived_record_hash_alike_in_any_order() -> None:
    def statistic(values: dict[str, float]) -> RawEvent:
        body = DerivedBody(of="f", of_revision=0, series="possession", values=values)
        return msgspec.structs.replace(a_translation(), body=body)

    one, other = statistic({"home": 61.0, "away": 39.0}), statistic({"away": 39.0, "home": 61.0})
    assert body_hash(one) == body_hash(other)
