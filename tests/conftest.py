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
