"""Rows written while live events had `v` 1 stay what they are, whatever fields were added since."""

import json

import msgspec
import pytest

from schemas.identity import body_hash, key_of
from schemas.legacy import is_same_body, legacy_identity, legacy_record_hash
from schemas.raw import RawEvent
from tests.event_builders import KICK_OFF, a_goal, a_post, a_reading, a_translation, encoded

_STORED = [
    (a_goal(), "9bc7c6dfebbd5c34"),
    (a_reading(), "b9508a18079ccc7f"),
    (a_post(), "c52a453d94c57faa"),
    (a_translation(), "461dc3386715832e"),
]


@pytest.mark.parametrize(("record", "digest"), _STORED)
def test_a_record_is_known_by_the_hash_that_a_row_got_then(record: RawEvent, digest: str) -> None:
    stored = bytes.fromhex(digest)
    assert is_same_body(stored, body_hash(record), encoded(record))
    grown = json.dumps({**json.loads(encoded(record)), "venue": "Montjuïc"}, indent=1).encode()
    assert is_same_body(stored, b"another", grown), "fields that nobody knew then were no part of it"
    changed = msgspec.structs.replace(record, type="other")
    assert not is_same_body(stored, body_hash(changed), encoded(changed))


@pytest.mark.parametrize(("record", "digest"), _STORED)
def test_a_row_is_verified_by_the_bytes_that_it_has(record: RawEvent, digest: str) -> None:
    """Of its time were our Struct's members in their order, `ingested_at` last."""
    stamped = msgspec.structs.replace(record, ingested_at=KICK_OFF)
    assert legacy_record_hash(encoded(stamped)).hex() == digest


def test_a_record_that_is_refused_today_has_the_identity_it_had() -> None:
    doubled = encoded(a_goal())[:-1] + b',"revision":0}'
    stored = bytes.fromhex(_STORED[0][1])
    assert legacy_identity(doubled) == (key_of(a_goal()), a_goal().match, stored, "broadcast")
    assert legacy_identity(b"{") is legacy_identity(None) is None
