"""Cutting a record to what its topic takes: always small enough, always told, never the wrong end."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.outlets import CUT, CUT_KEY, CUT_STEP, STUB
from sinks.record_fit import KafkaRecord, fitted, size_of, stub_of

# What a stub of a letter with the longest names needs.
LEAST = 2_000
IDENTIFYING: list[tuple[str, str | bytes]] = [
    ("letter", "9" * 19),
    ("reason", "conflicting_duplicate"),
    ("origin", "broadcast-events/31/" + "9" * 19),
    ("rejected_at", "2024-03-16T22:00:00.000007+00:00"),
]
sizes = st.integers(0, 12_000) | st.integers(12_000, 3_000_000)


@given(
    key=st.none() | sizes.map(lambda size: b"k" * size),
    value=sizes.map(lambda size: b"v" * size),
    detail=st.text(max_size=1_000),
    limit=st.integers(LEAST, 2_000_000),
    may_be_cut=st.booleans(),
)
def test_a_record_fits_and_says_what_is_missing(
    key: bytes | None, value: bytes, detail: str, limit: int, may_be_cut: bool
) -> None:
    record = KafkaRecord("t", 0, key, value, [*IDENTIFYING, ("detail", detail)], may_be_cut)
    made = fitted(record, limit)
    headers = dict(made.headers)
    assert size_of(made) <= limit
    assert made.identity == record.identity
    assert {name: headers[name] for name, _ in IDENTIFYING} == dict(IDENTIFYING)
    if size_of(record) <= limit:
        assert made is record
        return
    assert CUT in headers or CUT_KEY in headers
    assert value.startswith(made.value)
    assert (len(made.value) == len(value)) or len(made.value) % CUT_STEP == 0
    assert (CUT in headers) == (len(made.value) < len(value) or STUB in headers)
    assert headers.get(CUT, str(len(value))) == str(len(value))
    made_key, whole = made.key or b"", key or b""
    assert isinstance(made_key, bytes)
    assert whole.startswith(made_key)
    assert headers.get(CUT_KEY) == (str(len(whole)) if len(made_key) < len(whole) else None)
    if not may_be_cut:
        assert STUB in headers
        assert made.value == b""


def test_a_value_is_worth_more_than_its_key() -> None:
    """A key of a megabyte beside a value of a megabyte: the value keeps three quarters."""
    record = KafkaRecord("t", 0, b"k" * 1_200_000, b"v" * 1_000_000, IDENTIFYING, may_be_cut=True)
    made = fitted(record, 1_048_576)
    assert len(made.value) > 700_000
    assert len(made.key or b"") > 200_000


def test_a_stub_has_a_key_even_where_there_was_none() -> None:
    """A compacted topic refuses a record without a key, and that is why the stub is sent."""
    made = stub_of(KafkaRecord("t", 0, None, b"v", IDENTIFYING), "refused by the broker")
    assert (made.key, made.value, dict(made.headers)[CUT]) == (b"", b"", "1")
