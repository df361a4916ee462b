"""Lines come out as they went in, in whatever pieces they arrive, and none is longer than the bound."""

from hypothesis import example, given
from hypothesis import strategies as st

from ingest.lines import LineLimiter, LineSplitter

pieces = st.lists(st.text("ab\n\r", max_size=12).map(str.encode), max_size=12)


@given(chunks=pieces)
def test_lines_do_not_depend_on_the_pieces_they_arrive_in(chunks: list[bytes]) -> None:
    splitter = LineSplitter(1_000)
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    lines += splitter.rest()
    whole = b"".join(chunks)
    assert lines == (whole.removesuffix(b"\n").split(b"\n") if whole else [])


@given(chunks=pieces, longest=st.integers(1, 6))
@example(chunks=[b"aaaa", b"aaaa\nb"], longest=5)
def test_each_line_is_cut_to_the_bound_and_no_line_is_lost(chunks: list[bytes], longest: int) -> None:
    splitter = LineSplitter(longest)
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    lines += splitter.rest()
    whole = b"".join(chunks)
    expected = [line[:longest] for line in whole.removesuffix(b"\n").split(b"\n")] if whole else []
    assert lines == expected


def test_the_ends_of_lines_can_be_chosen() -> None:
    """Server-sent events end lines with CR, LF or both."""
    limiter = LineLimiter(3, b"\r\n")
    assert limiter.feed(b"abcdef\rabcdef") == b"abc\rabc"
    assert limiter.feed(b"gh\r\nab") == b"\r\nab"


def test_an_endless_line_fills_no_memory() -> None:
    limiter = LineLimiter(10)
    assert sum(len(limiter.feed(b"x" * 1_000)) for _ in range(100)) == 10
