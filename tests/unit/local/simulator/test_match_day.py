"""A match day: made from its seed alone, and as unruly as it was asked to be."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from local.simulator.disturb import Send
from local.simulator.ledger_entries import Conflict, Malformed, Record, Refused
from local.simulator.match_day import MatchDay, Programme
from local.simulator.occasion import Rates
from schemas.raw import BroadcastEvent, RawEvent, SocialEvent
from schemas.validation import Rejection, parse

BEGINS_AT = datetime(2026, 3, 14, 19, 30, tzinfo=UTC)
QUIET = Rates(0, 0, 0, 0, 0, 0)


def a_day(seed: int = 1, rates: Rates = QUIET, seconds: float = 10.0, day: int = 0) -> MatchDay:
    return MatchDay(Programme(seed, matches=2, seconds=seconds, rate=100.0, rates=rates), BEGINS_AT, day)


def records(sends: Iterable[Send]) -> list[RawEvent]:
    parsed = [parse(send.payload) for send in sends if isinstance(send.entry, Record)]
    return [event for event in parsed if not isinstance(event, Rejection)]


def incidents(sends: Iterable[Send]) -> list[BroadcastEvent]:
    return [event for event in records(sends) if isinstance(event, BroadcastEvent)]


def test_the_same_seed_and_start_send_the_same_bytes() -> None:
    """A restarted simulator must say again exactly what it said."""
    rates = Rates(0.2, 0.2, 0.1, 0.1, 0.1, 0.5)
    assert list(a_day(3, rates).sends()) == list(a_day(3, rates).sends())


def test_another_seed_and_another_day_are_other_matches() -> None:
    matches = [{final.match for final in day.finals()} for day in (a_day(1), a_day(2), a_day(1, day=1))]
    assert len(set.union(*matches)) == 6


def test_sends_come_in_order_of_time_and_within_the_day() -> None:
    times = [send.at for send in a_day(rates=Rates(0.5, 0.5, 0.1, 0.1, 0.1, 1.0)).sends()]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= 10.0


def test_the_rate_is_that_of_all_matches_together() -> None:
    assert len(list(a_day().sends())) == pytest.approx(10 * 100, rel=0.15)


def test_stamps_are_wall_time_while_the_match_clock_is_compressed() -> None:
    """A 90 minute match of ten seconds: the stamps span ten seconds, the clock a match."""
    said = incidents(a_day().sends())
    assert max(e.occurred_at for e in said) - min(e.occurred_at for e in said) < timedelta(seconds=10)
    assert all(BEGINS_AT <= e.occurred_at <= BEGINS_AT + timedelta(seconds=10) for e in said)
    assert max(e.body.clock or 0 for e in said) > 90 * 60


def test_the_clock_never_runs_back_in_a_quiet_match() -> None:
    first = incidents(a_day().sends())[0].match
    readings = [
        (event.body.period, event.body.clock)
        for event in incidents(a_day().sends())
        if event.match == first and event.source_event_id.startswith("play-")
    ]
    assert readings == sorted(readings)


@pytest.mark.parametrize("seed", range(8))
def test_each_match_has_a_goal_taken_back_by_the_video_assistant(seed: int) -> None:
    """Said while people can see it: the goal first, then the review, then the end of it."""
    sends = list(a_day(seed, rates=Rates(0, 0.9, 0, 0, 0, 0)).sends())
    for final in a_day(seed).finals():
        said = [event for event in incidents(sends) if event.match == final.match]
        cancelled = [event for event in said if event.type == "goal" and event.action == "cancel"]
        assert cancelled
        assert all(event.body.reason.startswith("VAR: ") for event in cancelled)
        assert not {event.source_event_id for event in cancelled} & set(final.goals)
        assert any(event.type == "var" and event.body.outcome == "goal_disallowed" for event in said)


def test_corrections_bring_every_action() -> None:
    """Over a week of match days, as a betting desk's feed does."""
    sends = [send for day in range(7) for send in a_day(1, Rates(0, 0, 0, 0, 0, 0.5), day=day).sends()]
    actions = {(event.type, event.action) for event in incidents(sends)}
    assert {
        ("goal", "confirm"),
        ("goal", "modify"),
        ("own_goal", "modify"),
        ("goal", "cancel"),
        ("yellow_card", "cancel"),
    } <= actions
    assert any(event.insert_before for event in incidents(sends))


def test_disorder_lets_a_cancel_overtake_its_add() -> None:
    sends = [send for day in range(8) for send in a_day(1, Rates(0, 1.0, 0, 0, 0, 1.0), day=day).sends()]
    place = {(e.match, e.source_event_id, e.revision): n for n, e in enumerate(incidents(sends))}
    overtaken = [
        event
        for event in incidents(sends)
        if event.type == "goal"
        and event.action == "cancel"
        and place[event.match, event.source_event_id, 2] < place[event.match, event.source_event_id, 1]
    ]
    assert overtaken


def test_duplicates_are_the_same_bytes_again() -> None:
    sends = list(a_day(rates=Rates(duplicates=1.0, disorder=0, late=0, malformed=0, conflicting=0)).sends())
    copies = Counter(send.payload for send in sends)
    assert set(copies.values()) == {2, 3, 4}
    assert len({send.entry for send in sends}) == len(copies)


def test_a_conflict_follows_what_it_contradicts() -> None:
    """So that it is known which of the two is the event."""
    seen: dict[tuple[str, str, str, int], bytes] = {}
    conflicts = 0
    for send in a_day(rates=Rates(0.3, 0.5, 0.1, 0, 0.5, 0.2)).sends():
        entry = send.entry
        assert isinstance(entry, Record | Conflict)
        identity = (entry.match, entry.source, entry.source_event_id, entry.revision)
        if isinstance(entry, Record):
            assert seen.setdefault(identity, send.payload) == send.payload
        else:
            conflicts += 1
            assert seen[identity] != send.payload
    assert conflicts > 100


def test_late_records_are_stamped_early() -> None:
    said = records(a_day(rates=Rates(0, 0, 1.0, 0, 0, 0)).sends())
    early = [event for event in said if event.occurred_at < BEGINS_AT - timedelta(minutes=1)]
    assert len(early) > len(said) * 0.9


def test_what_is_broken_is_no_record_and_never_the_same_twice() -> None:
    sends = list(a_day(rates=Rates(0, 0, 0, 1.0, 0, 0)).sends())
    broken = [send for send in sends if isinstance(send.entry, Malformed | Refused)]
    assert len(broken) == len(sends) / 2
    assert all(isinstance(parse(send.payload), Rejection) for send in broken)
    assert len({send.payload for send in broken}) == len(broken)
    assert not any(b"\n" in send.payload or b"\r" in send.payload for send in broken)
    reasons = {parsed.reason for send in broken if isinstance(parsed := parse(send.payload), Rejection)}
    assert {
        "malformed_json",
        "invalid_record",
        "invalid_utf8",
        "forbidden_character",
        "oversized",
        "nested_too_deep",
    } <= reasons


def test_the_social_stream_stays_text_when_it_is_broken() -> None:
    """Server-sent events are UTF-8; other bytes would not arrive as they were sent."""
    for send in a_day(rates=Rates(0, 0, 0, 1.0, 0, 0)).sends():
        if send.upstream == "social":
            assert send.payload.decode().isprintable()


def test_only_a_feed_forwards_what_is_broken() -> None:
    """A push is refused: its caller is told, and nothing becomes visible."""
    for send in a_day(rates=Rates(0, 0, 0, 1.0, 0, 0)).sends():
        if send.upstream == "sensors":
            assert isinstance(send.entry, Record | Refused)
        else:
            assert isinstance(send.entry, Record | Malformed)


def test_people_post_in_many_languages() -> None:
    sends = a_day(seconds=60.0).sends()
    languages = {event.body.language for event in records(sends) if isinstance(event, SocialEvent)}
    assert {"en", "es", "de", "fr", "ja", ""} <= languages
