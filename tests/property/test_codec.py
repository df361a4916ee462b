"""Laws of reading and writing records, and of their identity."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas import letters
from schemas.fold import ImageFullError, advance, empty_image
from schemas.identity import ZERO_CHAIN, body_hash, event_key, hash_said, key_of, match_prefix, next_chain
from schemas.image import decode_image, encode_image
from schemas.live import LiveEvent, Score, decode_live, encode_live, encode_live_around, record_in
from schemas.raw import MAX_REVISION, RawEvent
from schemas.validation import Rejection, parse, read
from tests.event_builders import MATCH, a_goal, as_read, encoded
from tests.event_strategies import any_record

_hashes = st.binary(min_size=16, max_size=16)
_ids = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)


@given(any_record)
def test_a_raw_record_survives_its_wire_form(record: RawEvent) -> None:
    again = parse(encoded(record))
    assert again == record
    assert not isinstance(again, Rejection)
    assert encoded(again) == encoded(record)


@given(any_record, st.datetimes(timezones=st.just(UTC)), st.integers(0, 2**31), st.text(max_size=8))
def test_a_live_event_survives_its_wire_form(
    record: RawEvent, appended_at: datetime, seq: int, minute: str
) -> None:
    live = LiveEvent(
        event_id=key_of(record).hex(),
        seq=seq,
        appended_at=appended_at,
        score=Score(2, 1),
        minute=minute,
        importance=9,
        language="und",
        event=record,
    )
    assert decode_live(encode_live(live)) == live
    written = as_read(record).record
    payload = encode_live_around(written, live)
    assert decode_live(payload) == live
    assert record_in(payload) == written


@given(st.lists(any_record, max_size=8))
def test_an_image_survives_its_wire_form(records: list[RawEvent]) -> None:
    """Saved, read back and folded on, it is the image that was never saved."""
    image = reread = empty_image(MATCH)
    for record in records:
        try:
            image = advance(image, record)
        except ImageFullError:
            continue
        reread = advance(decode_image(encode_image(reread)), record)
    assert reread == image
    assert encode_image(reread) == encode_image(image)


@given(any_record, st.data())
def test_identity_and_hash_do_not_depend_on_how_a_record_is_written(
    record: RawEvent, data: st.DataObject
) -> None:
    """Order of fields, spacing, escapes, members that are null and our own stamp are no part of a record."""
    fields = _shuffled(json.loads(encoded(record)), data)
    fields["ingested_at"] = data.draw(st.sampled_from([None, "2024-03-16T20:00:00Z"]))
    fields["vendor_extra"] = None
    rewritten = json.dumps(
        fields, ensure_ascii=data.draw(st.booleans()), indent=data.draw(st.sampled_from([None, 2]))
    )
    again = read(rewritten.encode())
    assert not isinstance(again, Rejection)
    assert key_of(again.event) == key_of(record)
    assert hash_said(again.said) == body_hash(record)


def _shuffled(node: Any, data: st.DataObject) -> Any:
    if not isinstance(node, dict):
        return node
    names = data.draw(st.permutations(sorted(node)))
    return {name: _shuffled(node[name], data) for name in names}


@given(any_record, any_record, st.sampled_from(["action", "type", "occurred_at", "insert_before", "body"]))
def test_a_record_that_differs_in_its_own_fields_has_another_hash(
    record: RawEvent, other: RawEvent, field: str
) -> None:
    changed = msgspec.structs.replace(record, **{field: getattr(other, field)})
    assert (body_hash(changed) == body_hash(record)) == (encoded(changed) == encoded(record))


_identities = st.tuples(
    _ids, st.sampled_from(["sensors", "broadcast"]), _ids, st.integers(0, 3) | st.integers(0, MAX_REVISION)
)


@given(_identities, _identities)
def test_only_the_same_identity_has_the_same_key(
    one: tuple[str, str, str, int], other: tuple[str, str, str, int]
) -> None:
    assert (event_key(*one) == event_key(*other)) == (one == other)
    assert event_key(*one).startswith(match_prefix(one[0]))


@given(st.lists(st.tuples(_hashes, st.binary(min_size=8, max_size=8)), min_size=1, max_size=8), st.data())
def test_a_chain_tells_logs_apart_from_where_they_differ(
    rows: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(rows) - 1))
    forked = list(rows)
    forked[at] = (data.draw(_hashes.filter(lambda key: key != rows[at][0])), rows[at][1])
    ours, theirs = _chains(rows), _chains(forked)
    assert ours[:at] == theirs[:at]
    assert all(a != b for a, b in zip(ours[at:], theirs[at:], strict=True))


def _chains(rows: list[tuple[bytes, bytes]]) -> list[bytes]:
    chain, chains = ZERO_CHAIN, []
    for key, body in rows:
        chain = next_chain(chain, key, body)
        chains.append(chain)
    return chains


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.binary(max_size=300) | _json.map(lambda value: json.dumps(value).encode()))
def test_parse_of_anything_is_a_record_or_a_rejection_with_a_known_reason(value: bytes) -> None:
    told = parse(value)
    assert isinstance(told, Rejection)
    assert told.reason in letters.REASONS
    assert told.detail


@given(st.data())
def test_a_record_with_one_damaged_place_never_raises(data: st.DataObject) -> None:
    """Whatever one field turns into, parse answers with a value."""
    fields = json.loads(encoded(a_goal()))
    name = data.draw(st.sampled_from(sorted(fields)))
    fields[name] = data.draw(_json)
    told = parse(json.dumps(fields).encode())
    assert isinstance(told, Rejection) or told.source_event_id


@given(any_record, st.data())
def test_a_cut_record_is_malformed(record: RawEvent, data: st.DataObject) -> None:
    value = encoded(record)
    told = parse(value[: data.draw(st.integers(1, len(value) - 1))])
    assert isinstance(told, Rejection)
    assert told.reason in (letters.MALFORMED_JSON, letters.INVALID_UTF8)
