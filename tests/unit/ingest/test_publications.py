"""Versions follow from the order of publication alone, whatever happens on the way."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ingest import publications
from ingest.publications import IDS_KEPT, MATCHES_KEPT, Publications, Published

Line = tuple[str, bytes]  # id, content


def versions(feed: Publications, lines: list[Line], match: str = "m") -> list[int]:
    return [feed.version_of(match, name, content) for name, content in lines]


def after_a_restart(feed: Publications) -> Publications:
    """From what a file holds."""
    encoded = msgspec.json.encode(feed.saved())
    return Publications(msgspec.json.decode(encoded, type=Published))


def test_what_differs_from_what_was_said_last_is_the_next_version() -> None:
    """Also when it was said before: a correction may be taken back."""
    lines = [("a", b"1"), ("b", b"1"), ("a", b"2"), ("a", b"2"), ("a", b"1"), ("b", b"1")]
    assert versions(Publications(), lines) == [0, 0, 1, 1, 2, 0]


def test_matches_do_not_share_their_ids() -> None:
    feed = Publications()
    assert versions(feed, [("a", b"1")], "m") == versions(feed, [("a", b"2")], "n") == [0]


_lines = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from([b"1", b"2", b"3"])), max_size=30
)


@given(_lines, st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.booleans()), max_size=12))
def test_pages_crashes_and_failed_deliveries_change_no_version(
    lines: list[Line], pages: list[tuple[int, int, bool]]
) -> None:
    """A page that was not taken to its end is told again, by the same process or by the next one."""
    expected = versions(Publications(), lines)
    feed, told, at = Publications(), list[int](), 0
    for size, failed_size, is_crash in [*pages, (len(lines), 0, False)]:
        versions(feed, lines[at : at + failed_size])
        if is_crash:
            saved = msgspec.json.encode(Publications(feed_saved_before(feed)).saved())
            feed = Publications(msgspec.json.decode(saved, type=Published))
        feed.roll_back()
        told += versions(feed, lines[at : at + size])
        at += size
        feed.settle()
    assert told == expected


def feed_saved_before(feed: Publications) -> Published:
    """What the file has while a page is on its way: nothing of that page."""
    feed.roll_back()
    return feed.saved()


def test_a_restart_goes_on_where_the_file_stands() -> None:
    feed = Publications(Published(began_hashed=True))
    versions(feed, [("a", b"1"), ("a", b"2"), ("b", b"1")])
    feed.settle()
    again = after_a_restart(feed)
    assert again.began_hashed
    assert versions(again, [("a", b"2"), ("b", b"2"), ("a", b"3")]) == [1, 1, 2]


def test_ids_beyond_the_bound_are_forgotten_and_their_newest_version_still_wins() -> None:
    """Those that had news longest ago; an id that is not known any more is above all that were."""
    feed = Publications()
    versions(feed, [("old", b"1"), ("kept", b"1"), ("old", b"2"), ("old", b"3")])
    versions(feed, [(f"{n}", b"1") for n in range(IDS_KEPT - 1)])
    versions(feed, [("kept", b"2")])
    feed.settle()
    again = after_a_restart(feed)
    assert len(again.saved().matches["m"].versions) == IDS_KEPT * publications._ENTRY_BYTES
    assert versions(again, [("kept", b"2"), ("old", b"4"), ("new", b"1")]) == [1, 3, 3]


def test_matches_beyond_the_bound_are_forgotten() -> None:
    feed = Publications()
    for n in range(MATCHES_KEPT + 1):
        versions(feed, [("a", b"1"), ("a", b"2")], f"m{n}")
        feed.settle()
    assert list(feed.saved().matches) == [f"m{n}" for n in range(1, MATCHES_KEPT + 1)]
    assert versions(feed, [("a", b"3")], "m1") == [2]
    assert versions(feed, [("a", b"3")], "m0") == [0]
