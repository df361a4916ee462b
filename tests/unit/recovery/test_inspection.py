"""What `inspect` holds a store against."""

from datetime import UTC, datetime
from pathlib import Path

from recovery.stores.inspection import inspect_stores
from recovery.stores.looks import Unknown


def test_the_log_is_asked_behind_the_stores(tmp_path: Path) -> None:
    """A lane at work moves its store on: read behind the log, it would seem to know what the log has lost."""
    order = []

    def look() -> tuple[Unknown, Unknown]:
        order.append("log")
        return Unknown("away"), Unknown("away")

    inspect_stores(
        [tmp_path / "one", tmp_path / "two"], look, datetime.now(UTC), lambda: order.append("store")
    )
    assert order == ["store", "store", "log"]
