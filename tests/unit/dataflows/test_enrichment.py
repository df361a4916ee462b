"""Step `enrich`: what the event alone tells."""

import msgspec
import pytest

from dataflows.enrichment import enrich
from schemas.batch import Event, EventBatch, event_of
from schemas.raw import SocialBody
from schemas.weight import importance_of, language_of_script
from tests.event_builders import a_goal, a_pass, a_post, a_reading, as_read


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Goal!", "und"),
        ("Гол! Какой удар", "ru"),
        ("ゴール！素晴らしい", "ja"),
        ("进球了", "zh"),
        ("هدف رائع", "ar"),
        ("골입니다", "ko"),
        ("", "und"),
        ("123 !?", "und"),
    ],
)
def test_a_script_settles_the_language_where_it_can(text: str, language: str) -> None:
    """Latin letters are shared by too many languages to guess."""
    assert language_of_script(text) == language


def test_goals_matter_most_and_readings_least() -> None:
    """What is shed first is told by this number."""
    assert importance_of(a_goal()) == 9
    assert importance_of(a_reading()) == 0
    assert importance_of(a_goal()) > importance_of(a_pass()) > importance_of(a_reading())


def test_enrich_keeps_identity_and_place() -> None:
    """Only importance and language are added."""
    raw = msgspec.structs.replace(a_post(), body=SocialBody(text="Гол"))
    event = event_of(as_read(raw), 5, b"x")
    [entry] = enrich(EventBatch("social-events", 3, [event], 6)).entries
    assert isinstance(entry, Event)
    assert (entry.key, entry.offset, entry.value, entry.raw) == (event.key, 5, b"x", raw)
    assert (entry.importance, entry.language) == (2, "ru")
