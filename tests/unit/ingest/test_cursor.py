"""A cursor file is either the old place or the new one."""

from pathlib import Path

import pytest

from ingest.cursor import CursorFile, DamagedCursorError, Place, place_in
from ingest.publications import Published, SavedMatch

URL = "http://feed.example/matches?key=secret"


def a_cursor(folder: Path, url: str = URL) -> CursorFile:
    return CursorFile(folder / "ingest", "broadcast", url)


def test_a_feed_that_was_never_read_begins_at_the_beginning(tmp_path: Path) -> None:
    assert a_cursor(tmp_path).load() == Place()


def test_a_saved_place_is_found_again(tmp_path: Path) -> None:
    place = Place(cursor="opaque \u2028 42", etag='W/"7"')
    a_cursor(tmp_path).save(place)
    assert a_cursor(tmp_path).load() == place


def test_two_addresses_are_two_feeds(tmp_path: Path) -> None:
    a_cursor(tmp_path).save(Place("1"))
    assert a_cursor(tmp_path, URL + "&match=2").load() == Place()


def test_an_address_with_a_key_does_not_show_in_the_folder(tmp_path: Path) -> None:
    cursor = a_cursor(tmp_path)
    cursor.save(Place("1"))
    assert "secret" not in str(cursor.path)
    assert b"secret" not in cursor.path.read_bytes()


def test_a_crash_before_the_rename_leaves_the_old_place(tmp_path: Path) -> None:
    cursor = a_cursor(tmp_path)
    cursor.save(Place("1"))
    cursor.path.with_suffix(".new").write_bytes(b'{"curs')
    assert cursor.load() == Place("1")
    cursor.save(Place("2"))
    assert cursor.load() == Place("2")


def test_what_was_published_is_found_again_and_a_flipped_bit_in_it_is_seen(tmp_path: Path) -> None:
    """A version that is not the right one would be a wrong score: rather the beginning."""
    cursor = a_cursor(tmp_path)
    place = Place("1", published=Published({"m": SavedMatch(bytes(range(36)), 3)}))
    cursor.save(place)
    assert cursor.load() == place
    content = cursor.path.read_bytes()
    cursor.path.write_bytes(content.replace(b"AAEC", b"AAED"))
    with pytest.raises(DamagedCursorError):
        cursor.load()
    assert place_in(cursor) == Place()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'{"cursor": 5}', b"[" * 100_000])
def test_a_damaged_file_is_named_and_the_feed_begins_again(tmp_path: Path, content: bytes) -> None:
    cursor = a_cursor(tmp_path)
    cursor.save(Place("1"))
    cursor.path.write_bytes(content)
    with pytest.raises(DamagedCursorError):
        cursor.load()
    assert place_in(cursor) == Place()
