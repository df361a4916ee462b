"""Which records no limit may hold back. Pure."""

from schemas.raw import RawEvent

# What decides a match, or a bet on it.
_DECISIVE = frozenset({"goal", "own_goal", "yellow_card", "second_yellow_card", "red_card", "var"})
_PENALTIES = "penalty"  # penalty, penalty_missed, penalty_awarded: vendors differ


def always_passes(event: RawEvent) -> bool:
    """Whether a record is let through at any load: goals, cards, penalties, VAR and every correction.

    A confirmation and a record that names its place (`insert_before`) change
    what fans were told before, so they count as corrections.
    """
    return (
        event.action != "add"
        or event.insert_before is not None
        or event.type in _DECISIVE
        or event.type.startswith(_PENALTIES)
    )
