"""What every test gets: the fixture plugins of tests/fixtures and a Hypothesis profile."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = [
    f"tests.fixtures.{path.stem}"
    for path in sorted(Path(__file__).with_name("fixtures").glob("*.py"))
    if path.stem != "__init__"
]
# Before the first of them imports another, or its asserts would stay bare.
pytest.register_assert_rewrite(*pytest_plugins)

# In CI the same examples each time: a red build must be red again on the next push.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("dev", deadline=None, max_examples=50)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# Files that take half a minute and more, the longest first: one that is begun last would keep one
# worker busy alone.
_LONG = (
    "test_postgres_backup.py",
    "test_tutorials.py",
    "test_negative_controls.py",
    "test_torture.py",
    "test_local_stack.py",
    "test_disaster.py",
    "test_match_page.py",
    "test_replay.py",
    "test_recovery_page.py",
    "test_recovery_stores.py",
    "test_page_for_everyone.py",
    "test_drill.py",
    "test_enrich.py",
    "test_lanes.py",
    "test_parked_matches.py",
    "test_simulator.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files; the others stay in the order that chance gave them."""
    items.sort(key=lambda item: _LONG.index(item.path.name) if item.path.name in _LONG else len(_LONG))
