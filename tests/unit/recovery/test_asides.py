"""Stores that were put aside: the newest stay."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from recovery.stores.asides import KEPT, asides, name_aside, prune_asides, surplus

NOW = datetime(2026, 5, 30, 12, 0, tzinfo=UTC)


def put_aside(store: Path, at: datetime) -> Path:
    aside = name_aside(store, at)
    aside.mkdir()
    (aside / "part-0.sqlite3").touch()
    return aside


def test_the_newest_three_of_a_store_stay(tmp_path: Path) -> None:
    store, other = tmp_path / "enrich-1", tmp_path / "enrich-10"
    old = [put_aside(store, NOW + timedelta(days=day)) for day in range(KEPT + 2)]
    others = [put_aside(other, NOW)]
    assert surplus(store, 1) == old[:3]
    assert prune_asides(store) == old[:2]
    assert asides(store) == old[2:]
    assert asides(other) == others
    assert prune_asides(store) == []
    assert sorted(tmp_path.iterdir()) == sorted(old[2:] + others)


def test_those_of_one_second_are_kept_in_their_order(tmp_path: Path) -> None:
    """Ten of one second: `-10` is younger than `-9`, and the first has no number."""
    store = tmp_path / "enrich-0"
    made = [put_aside(store, NOW) for _ in range(11)]
    assert asides(store) == made
    prune_asides(store)
    assert asides(store) == made[-KEPT:]


def test_what_a_person_named_is_left_alone(tmp_path: Path) -> None:
    store = tmp_path / "enrich-0"
    own = tmp_path / "enrich-0.before-the-final"
    own.mkdir()
    for day in range(KEPT + 1):
        put_aside(store, NOW + timedelta(days=day))
    prune_asides(store)
    assert own.is_dir()
    assert len(asides(store)) == KEPT
