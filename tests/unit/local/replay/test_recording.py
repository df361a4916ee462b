"""When the lines of a recording are sent, whatever their stamps say."""

import json
import random
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from ingest.vendors.statsbomb import Mapper
from local.replay.delivered import Expected
from local.replay.oracle import differences
from local.replay.outcome import outcome_of
from local.replay.recording import Due, lines_of, numbered, schedule
from schemas.fold import advance, empty_image
from schemas.identity import key_of
from schemas.live import LiveEvent, Score
from schemas.raw import RawEvent
from tests.recordings import NO_RECORDS, Recording

KICK_OFF = datetime(2024, 3, 16, 20, 0, tzinfo=UTC)


def a_line(number: int, seconds: float, **fields: object) -> bytes:
    stamp = (KICK_OFF + timedelta(seconds=seconds)).isoformat()
    return json.dumps({"_event_time": stamp, "id": str(number), "index": number, **fields}).encode()


def sent(lines: list[bytes], speed: float | None = 1.0, shuffle: float = 0, copies: int = 1) -> list[Due]:
    return schedule(lines, speed, timedelta(seconds=shuffle), copies, random.Random(1))


def times(lines: list[bytes], speed: float | None = 1.0) -> list[float]:
    return [round(due.at, 3) for due in sent(lines, speed)]


def test_lines_are_sent_as_far_apart_as_they_were_said() -> None:
    lines = [a_line(number, 2.0 * number) for number in range(4)]
    assert times(lines) == [0, 2, 4, 6]
    assert times(lines, speed=20.0) == [0, 0.1, 0.2, 0.3]
    assert times(lines, speed=None) == [0, 0, 0, 0]
    assert [due.line for due in sent(lines)] == lines


def test_a_line_stamped_early_is_sent_in_its_place() -> None:
    """A pass receipt 45 minutes early was not sent 45 minutes early."""
    lines = [a_line(0, 3000), a_line(1, 3002), a_line(2, 300), a_line(3, 3004)]
    assert times(lines) == [0, 2, 2, 4]


def test_a_line_stamped_far_ahead_holds_up_nothing() -> None:
    lines = [a_line(0, 0), a_line(1, 90_000), a_line(2, 1)]
    assert times(lines) == [0, 0, 1]


def test_hours_of_silence_are_cut() -> None:
    lines = [a_line(0, 0), a_line(1, 20_000), a_line(2, 20_001), a_line(3, 20_003)]
    assert times(lines) == [0, 1800, 1801, 1803]


def test_a_clock_that_restarts_each_period_reads_on() -> None:
    lines = [
        b'{"period": 1, "timestamp": "00:00:01.500"}',
        b'{"period": 1, "timestamp": "00:25:00.000"}',
        b'{"period": 1, "timestamp": "00:50:00.000"}',
        b'{"period": 2, "timestamp": "00:00:00.000"}',
    ]
    assert times(lines) == [0, 1498.5, 2998.5, 3598.5]


def test_a_line_without_a_stamp_goes_with_the_one_before() -> None:
    lines = [a_line(0, 0), a_line(1, 5), b"half of a li", b"\xff", a_line(4, 6)]
    assert times(lines) == [0, 5, 5, 5, 6]
    assert times([b"nothing", a_line(1, 70)]) == [0, 0]


def test_shuffled_lines_stay_within_their_window() -> None:
    lines = [a_line(number, number) for number in range(300)]
    due = sent(lines, speed=1.0, shuffle=30.0)
    places = [json.loads(each.line)["index"] for each in due]
    assert places != sorted(places)
    assert sorted(places) == list(range(300))
    assert all(index <= each.at <= index + 30 for index, each in zip(places, due, strict=True))


def test_line_ups_are_never_shuffled() -> None:
    """Without them nothing could be mapped; and they are out before a match."""
    lines = [a_line(number, 0, type={"name": "Starting XI"}) for number in range(2)]
    lines += [a_line(number, 0) for number in range(2, 50)]
    assert [due.line for due in sent(lines, None, shuffle=30)][:2] == lines[:2]


def test_copies_are_sent_as_often_as_asked() -> None:
    lines = [a_line(number, number) for number in range(50)]
    for shuffle in (0.0, 30.0):
        due = sent(lines, None, shuffle, copies=3)
        assert set(Counter(each.line for each in due).values()) == {3}
        assert len(due) == 150


def test_without_shuffling_the_first_copy_keeps_its_place() -> None:
    lines = [a_line(number, number) for number in range(50)]
    firsts = list(dict.fromkeys(due.line for due in sent(lines, None, copies=3)))
    assert firsts == lines


def test_the_same_seed_sends_the_same() -> None:
    lines = [a_line(number, number) for number in range(50)]
    assert sent(lines, None, 30.0, 3) == sent(lines, None, 30.0, 3)


@pytest.mark.parametrize("seed", range(10))
def test_what_stands_last_in_a_file_holds_in_whatever_order_it_is_sent(seed: int) -> None:
    """Goals published again as a save, with another scorer, side or minute, or taken back and given again."""
    recording = Recording(seed=4, passes=400)
    recording.publish_corrections()
    lines = numbered(recording.lines, "m")
    due = schedule(lines, None, timedelta(minutes=seed), 3, random.Random(seed))
    feed = Mapper("m")
    events = {(e.source_event_id, e.revision): e for e in (feed.map(each.line) for each in due)}
    assert len(events) == len(lines)
    expected = Expected.of(lines, Mapper("m"))
    assert expected.keys == {key_of(event) for event in events.values()}
    got = msgspec.to_builtins(outcome_of(delivered(events.values())))
    assert differences(recording.truth, got, {}) == []
    assert differences(recording.truth, msgspec.to_builtins(expected.outcome), {}) == []
    image = empty_image("m")
    for event in events.values():
        image = advance(image, event)
    assert [image.score.home, image.score.away] == list(recording.truth["final_score"].values())


def test_only_what_a_file_says_in_several_versions_is_numbered() -> None:
    recording = Recording(seed=4, passes=400)
    assert numbered(recording.lines, "m") == recording.lines
    assert numbered([*NO_RECORDS, *NO_RECORDS], "m") == [*NO_RECORDS, *NO_RECORDS]
    recording.publish_corrections()
    changed = [line for line in numbered(recording.lines, "m") if line.startswith(b'{"_published":')]
    assert len(changed) == 5 + 6


def delivered(events: Iterable[RawEvent]) -> list[LiveEvent]:
    return [
        LiveEvent(
            event_id=key_of(event).hex(),
            seq=seq,
            appended_at=KICK_OFF,
            score=Score(),
            minute="",
            importance=0,
            language="und",
            event=event,
        )
        for seq, event in enumerate(events, 1)
    ]


def test_empty_lines_are_none() -> None:
    assert lines_of(b"a\n\n \nb\n") == [b"a", b"b"]
    assert sent([]) == []
