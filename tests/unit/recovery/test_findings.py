"""Differences are counted all, and kept a few."""

from recovery.audit.findings import Findings


def test_the_first_of_each_kind_are_kept_and_all_are_counted() -> None:
    findings = Findings(kept_per_kind=2)
    for position in range(5):
        findings.add("chain", f"position {position}", b"\x01", b"\x02", "m-1")
    findings.add("unread", "a topic", "an event", "nothing")
    assert findings.counts == {"chain": 5, "unread": 1}
    assert findings.total == 6
    assert findings.by_match == {"m-1": 5}
    assert [(d.what, d.where) for d in findings.first()] == [
        ("unread", "a topic"),
        ("chain", "position 0"),
        ("chain", "position 1"),
    ]


def test_one_match_alone_keeps_what_belongs_to_no_match() -> None:
    findings = Findings(kept_per_kind=2, only="m-1")
    findings.add("seq", "here", 1, 2, "m-1")
    findings.add("seq", "there", 1, 2, "m-2")
    findings.add("stream_hole", "stream", "events", "none")
    assert findings.counts == {"seq": 1, "stream_hole": 1}


def test_digests_are_shown_in_hex_and_bodies_as_text_of_bounded_length() -> None:
    findings = Findings(kept_per_kind=9)
    findings.add("chain", "here", bytes(16), b"x" * 5_000)
    (difference,) = findings.first()
    assert difference.expected == "00" * 16
    assert difference.found == "x" * 300 + "... (5000 characters)"
