"""What an event's own fields say of its importance and its language. Pure.

What changes here changes what the log holds of the same record, and the
audit computes it again. So on a log that has events already it takes another
FOLD_VERSION (schemas/fold.py), and that number in WEIGHED_SINCE: of rows from
before, the audit takes what they say. Events that wait in parked matches were
weighed when they were parked: release those first.
"""

import unicodedata

from schemas.raw import RawEvent, SocialEvent, source_of

WEIGHED_SINCE = 1  # the first FOLD_VERSION whose rows these rules have weighed
UNKNOWN_LANGUAGE = "und"

# 0 (a reading) to 9 (a goal): what is shed first and shown largest. Any
# correction is as important as what it corrects.
IMPORTANCE = {
    "goal": 9,
    "own_goal": 9,
    "penalty_missed": 8,
    "red_card": 8,
    "second_yellow_card": 8,
    "var": 8,
    "period_start": 7,
    "period_end": 7,
    "fixture": 7,
    "yellow_card": 6,
    "substitution": 6,
    "shot": 4,
    "corner": 3,
    "foul": 3,
    "post": 2,
}
_DEFAULT_IMPORTANCE = 1
_OF_SOURCE = {"sensors": 0}

# Scripts that settle a language well enough for "translate this or not".
_SCRIPTS = (
    ("HIRAGANA", "ja"),
    ("KATAKANA", "ja"),
    ("HANGUL", "ko"),
    ("CJK", "zh"),
    ("ARABIC", "ar"),
    ("HEBREW", "he"),
    ("GREEK", "el"),
    ("CYRILLIC", "ru"),
    ("THAI", "th"),
    ("DEVANAGARI", "hi"),
)
_LETTERS_LOOKED_AT = 40


def importance_of(event: RawEvent) -> int:
    """How much the event matters to a fan, 0 to 9."""
    importance = IMPORTANCE.get(event.type)
    if importance is None:
        importance = _OF_SOURCE.get(source_of(event), _DEFAULT_IMPORTANCE)
    return importance


def language_of(event: RawEvent) -> str:
    """Of a post: the language the source names, else what the script tells; "und" of all else."""
    if type(event) is not SocialEvent:
        return UNKNOWN_LANGUAGE
    return event.body.language or language_of_script(event.body.text)


def language_of_script(text: str) -> str:
    """The language that a script settles; "und" for Latin, which many share."""
    found = UNKNOWN_LANGUAGE
    for letter in [c for c in text if c.isalpha()][:_LETTERS_LOOKED_AT]:
        name = unicodedata.name(letter, "")
        for script, language in _SCRIPTS:
            if name.startswith(script):
                if language == "ja":
                    return "ja"  # kana settle it; Han characters alone do not
                if found == UNKNOWN_LANGUAGE:
                    found = language
    return found
