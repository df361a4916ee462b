"""Fixtures of all kinds of tests; servers start only for the tests that ask for them."""

pytest_plugins = ["tests.fixtures.stack"]
