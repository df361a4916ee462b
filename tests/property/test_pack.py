"""Laws of the pack codec."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from schemas.pack import PackError, pack, unpack

payload_lists = st.lists(st.binary(max_size=300), min_size=1, max_size=40)


@given(payload_lists)
def test_unpack_gives_back_what_was_packed(payloads: list[bytes]) -> None:
    assert unpack(pack(payloads)) == payloads


@given(payload_lists, st.data())
def test_a_cut_pack_never_reads_as_another_event(payloads: list[bytes], data: st.DataObject) -> None:
    """A cut is refused, or falls between two events and leaves a true prefix."""
    blob = pack(payloads)
    cut = data.draw(st.integers(0, len(blob) - 1))
    edges = list(accumulate(4 + len(payload) for payload in payloads))
    try:
        left = unpack(blob[:cut])
    except PackError as error:
        assert 0 <= error.offset <= cut
        assert cut not in edges
    else:
        assert cut in edges
        assert left == payloads[: len(left)]


@given(st.binary(max_size=400))
def test_unpack_of_anything_returns_or_raises_its_own_error(blob: bytes) -> None:
    """Total: what it accepts, it can write again."""
    try:
        payloads = unpack(blob)
    except PackError:
        return
    assert pack(payloads) == blob
