"""Whatever happens on the way, the fold of a match day comes to what the referee counted."""

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from local.simulator.ledger_entries import Record
from local.simulator.match_day import MatchDay, Programme
from local.simulator.occasion import Rates
from schemas.fold import advance, empty_image
from schemas.image import MAX_IMAGE_BYTES, MatchImage, encode_image, goal_timeline
from schemas.validation import Rejection, parse

BEGINS_AT = datetime(2026, 3, 14, 19, 30, tzinfo=UTC)

shares = st.sampled_from([0.0, 0.1, 0.5, 1.0])
rates = st.builds(Rates, shares, shares, shares, shares, shares, shares)
programmes = st.builds(
    Programme,
    seed=st.integers(0, 2**31),
    matches=st.integers(1, 3),
    seconds=st.sampled_from([2.0, 10.0, 60.0]),
    rate=st.just(6.0),
    rates=rates,
)


def folded(day: MatchDay, backwards: bool = False) -> dict[str, MatchImage]:
    """The images of a day when each identity counts once, as the log has it."""
    images: dict[str, MatchImage] = {}
    seen: set[object] = set()
    sends = list(day.sends())
    for send in reversed(sends) if backwards else sends:
        event = parse(send.payload)
        if isinstance(event, Rejection) or not isinstance(send.entry, Record) or send.entry in seen:
            continue
        seen.add(send.entry)
        images[event.match] = advance(images.get(event.match) or empty_image(event.match), event)
    return images


@given(programmes, st.integers(0, 5), st.booleans())
def test_the_fold_comes_to_the_score_that_was_counted(
    programme: Programme, day: int, backwards: bool
) -> None:
    """Counted apart from the fold, and in any order of arrival."""
    match_day = MatchDay(programme, BEGINS_AT, day)
    images = folded(match_day, backwards)
    assert {final.match for final in match_day.finals()} == images.keys()
    for final in match_day.finals():
        image = images[final.match]
        assert image.score == final.score
        assert {line.id for line in goal_timeline(image)} == set(final.goals)
        assert image.status == "finished"
        assert len(encode_image(image)) < MAX_IMAGE_BYTES


@settings(max_examples=30)
@given(programmes)
def test_every_send_is_what_its_ledger_entry_says(programme: Programme) -> None:
    day = MatchDay(programme, BEGINS_AT, 0)
    for send in day.sends():
        parsed = parse(send.payload)
        if isinstance(parsed, Rejection):
            assert not isinstance(send.entry, Record)
        elif isinstance(send.entry, Record):
            identity = (parsed.match, parsed.source_event_id, parsed.revision)
            assert identity == (send.entry.match, send.entry.source_event_id, send.entry.revision)
