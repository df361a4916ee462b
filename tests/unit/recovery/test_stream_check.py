"""A stream is read in step with the log: holes, overlaps, damage, trimming, what came later."""

from recovery.audit.findings import Findings
from recovery.audit.stream_check import Entry, StreamCheck
from schemas.pack import pack
from storage.audit_reads import LogRow, ShardRow


def a_row(position: int) -> LogRow:
    chain = position.to_bytes(16, "big")
    return LogRow(
        position, "m-1", position, bytes(16), bytes(8), chain, 1, position, 0, 0, True, 1, payload(position)
    )


def payload(position: int) -> bytes:
    return b'{"n":%d}' % position


def an_entry(first: int, last: int) -> Entry:
    events = pack([payload(position) for position in range(first, last + 1)])
    fields = {b"f": b"%d" % first, b"c": last.to_bytes(16, "big"), b"e": events}
    return Entry(b"%d-0" % last, fields)


def check(entries: list[Entry], head: int, kept_at_least: int = 1_000) -> tuple[Findings, StreamCheck]:
    findings = Findings(kept_per_kind=9)
    shard = ShardRow(0, 7, 0, bytes(16), head, bytes(16))
    stream = StreamCheck("ev:{0}:7", shard, iter(entries), kept_at_least, findings)
    for position in range(1, head + 1):
        stream.take(a_row(position))
    stream.finish()
    return findings, stream


def test_whole_stream_is_found_whatever_its_packs() -> None:
    findings, stream = check([an_entry(1, 1), an_entry(2, 7), an_entry(8, 9)], head=9)
    assert findings.counts == {}
    assert (stream.events, stream.packs, stream.first, stream.top) == (9, 3, 1, 9)


def test_hole_is_told_once_with_its_bounds() -> None:
    findings, stream = check([an_entry(1, 2), an_entry(6, 9)], head=9)
    assert findings.counts == {"stream_hole": 1}
    assert findings.first()[0].where.endswith("positions 3..5")
    assert stream.events == 6


def test_missing_end_is_a_hole() -> None:
    findings, _ = check([an_entry(1, 2)], head=4)
    assert [d.where for d in findings.first()] == ["ev:{0}:7 positions 3..4"]


def test_missing_stream_is_one_hole() -> None:
    findings, _ = check([], head=4)
    assert [d.where for d in findings.first()] == ["ev:{0}:7 positions 1..4"]


def test_trimming_may_go_as_far_as_retention() -> None:
    assert check([an_entry(5, 9)], head=9, kept_at_least=5)[0].counts == {}
    assert check([an_entry(5, 9)], head=9, kept_at_least=6)[0].counts == {"stream_start": 1}


def test_what_came_after_the_snapshot_is_no_difference_here() -> None:
    findings, stream = check([an_entry(1, 3), an_entry(4, 8), an_entry(9, 9)], head=5)
    assert findings.counts == {}
    assert stream.top == 9


def test_entry_that_goes_back_is_told_and_passed_over() -> None:
    findings, stream = check([an_entry(1, 4), an_entry(2, 3), an_entry(5, 6)], head=6)
    assert findings.counts == {"stream_pack": 1}
    assert stream.events == 6


def test_entry_that_is_no_pack_is_told_and_leaves_a_hole() -> None:
    torn = an_entry(3, 4)
    torn.fields[b"e"] = torn.fields[b"e"][:-1]
    nameless = Entry(b"4-0", {b"f": b"3"})
    short = an_entry(3, 4)._replace(id=b"5-0")
    for damaged in (torn, nameless, short):
        findings, _ = check([an_entry(1, 2), damaged, an_entry(5, 6)], head=6)
        assert findings.counts == {"stream_pack": 1, "stream_hole": 1}
