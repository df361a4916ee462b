"""Every damaged, mixed, foreign or missing recovery store has a name, and none a traceback."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.recovery_store import read_store
from storage.store_contents import read_contents
from storage.store_errors import StoreError, StoreForeignError, StoreMissingError
from tests.fixtures.recovery_stores import DAMAGES, Damage, MakeStore, fill


@pytest.fixture
def store(make_store: MakeStore, tmp_path: Path) -> Path:
    made = make_store(tmp_path / "store", 2)
    fill(made)
    return made


def look(store: Path) -> None:
    read_contents(store, read_store(store, check=True))


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_each_damage_is_named(damage: Damage, store: Path) -> None:
    damage.do(store)
    with pytest.raises(StoreError) as raised:
        look(store)
    assert type(raised.value).__name__ == damage.error
    assert raised.value.directory == store
    assert raised.value.reason
    assert raised.value.remedy


def test_any_byte_may_flip_without_a_traceback(store: Path) -> None:
    """A flip in free space or in a state's bytes may pass; anything else has a name."""
    file = store / "part-0.sqlite3"
    whole = file.read_bytes()
    named = 0
    for place in _places(whole):
        changed = bytearray(whole)
        changed[place] ^= 0xFF
        file.write_bytes(changed)
        try:
            look(store)
        except StoreError:
            named += 1
    assert named > 20


def _places(data: bytes) -> Iterator[int]:
    """The header byte by byte, and then where something is, thinly."""
    yield from range(0, 100, 2)
    yield from [place for place in range(100, len(data)) if data[place]][::61]


def test_a_path_to_nothing_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StoreMissingError, match="no such directory"):
        read_store(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreMissingError, match="it is empty"):
        read_store(tmp_path / "empty")


def test_a_folder_of_something_else_is_foreign(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear all")
    with pytest.raises(StoreForeignError):
        read_store(tmp_path)
