"""Where a recovery store resumes: the same calculation as Bytewax's."""

from storage.recovery_store import Execution, Store


def a_store(last: Execution | None, frontiers: dict[int, int]) -> Store:
    return Store({}, last, frontiers)


def test_empty_store_resumes_at_the_first_epoch() -> None:
    assert a_store(None, {}).resume_epoch == 1


def test_slowest_worker_decides() -> None:
    assert a_store(Execution(3, 2, 10), {0: 14, 1: 12}).resume_epoch == 12


def test_worker_that_closed_nothing_stays_where_it_resumed() -> None:
    assert a_store(Execution(3, 2, 10), {0: 14}).resume_epoch == 10
