"""The wire form of a pack."""

import pytest

from schemas.pack import EmptyPackError, PackError, TruncatedPackError, pack, unpack


def test_pack_prefixes_each_event_with_its_length() -> None:
    """Readers in other languages rely on 4 bytes, big-endian."""
    assert pack([b"ab", b"", b"c"]) == b"\0\0\0\2ab\0\0\0\0\0\0\0\1c"


def test_unpack_returns_the_events_in_order() -> None:
    assert unpack(b"\0\0\0\2ab\0\0\0\0\0\0\0\1c") == [b"ab", b"", b"c"]


def test_a_pack_holds_at_least_one_event() -> None:
    """An entry without events would name a position that nothing has."""
    with pytest.raises(EmptyPackError):
        pack([])
    with pytest.raises(EmptyPackError):
        unpack(b"")


@pytest.mark.parametrize(
    ("blob", "offset"),
    [
        (b"\0", 0),  # inside the first length
        (b"\0\0\0\2a", 4),  # inside the first event
        (b"\0\0\0\1a\0\0", 5),  # inside the second length
        (b"\xff\xff\xff\xffa", 4),  # a length that no pack can hold
    ],
)
def test_damage_names_the_byte_where_it_starts(blob: bytes, offset: int) -> None:
    with pytest.raises(TruncatedPackError) as raised:
        unpack(blob)
    assert raised.value.offset == offset
    assert isinstance(raised.value, PackError)
    assert isinstance(raised.value, ValueError)
