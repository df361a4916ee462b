"""How a command line names a moment, or a length of time: one way to read it, for every command."""

from datetime import datetime, timedelta

from settings import parse_duration

FORMS = "10m (ago), or 2026-05-30T21:04:05Z with its zone (Z, +02:00)"


class UnreadableMomentError(ValueError):
    """A text is no moment or length of time, or does not say whose time it is."""

    def __init__(self, option: str, text: str, reason: str) -> None:
        super().__init__(f"{option} {text}: {reason}")
        self.option = option
        self.text = text
        self.reason = reason


def read_moment(option: str, text: str, now: datetime) -> datetime:
    """Read `10m` (so long before `now`) or an ISO 8601 time; raise UnreadableMomentError.

    A time without its zone is refused: guessed wrong, it is hours off, and
    nobody would see it.
    """
    text = text.strip()
    try:
        return now - parse_duration(text)
    except OverflowError:
        raise UnreadableMomentError(option, text, "that is before the year 1") from None
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UnreadableMomentError(option, text, f"no moment; write {FORMS}") from None
    if moment.tzinfo is None:
        raise UnreadableMomentError(option, text, f"say whose time it is, as in {text}Z or {text}+02:00")
    return moment


def read_length(option: str, text: str) -> timedelta:
    """Read `30s`; raise UnreadableMomentError."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UnreadableMomentError(option, text, f"{error}; say 30s, 5m or 2h") from None
