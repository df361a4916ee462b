"""What the event log sink keeps in a recovery store, and what it still reads."""

from sinks.event_log import committed_of, state_of
from storage.history import Committed, CommitToken

CHAIN, TOKEN = bytes(range(16)), bytes(range(16, 32))


def test_a_state_says_all_that_was_committed() -> None:
    """Head, commit token and generation come back as they were."""
    committed = Committed(7, CHAIN, CommitToken(3, TOKEN), 1_700_000_000_000)
    assert committed_of(state_of(committed)) == committed


def test_a_state_of_the_first_version_is_read() -> None:
    """It knew head and chain only."""
    assert committed_of((1, 7, CHAIN)) == Committed(7, CHAIN)


def test_a_state_of_a_later_version_says_nothing() -> None:
    assert committed_of((3, 7, CHAIN)) is None
