"""`.env.example` is the list of settings that people read, so it must be complete and true."""

import re

import msgspec

from settings import PREFIX, ROOT, Settings, load

LINE = re.compile(r"# (TOUCHLINE_[A-Z_]+)=(.*)")


def test_each_setting_is_documented_with_its_default() -> None:
    """A value that is copied out of the example must change nothing."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    documented = {match[1]: match[2] for line in lines if (match := LINE.fullmatch(line))}
    assert set(documented) == {PREFIX + field.name.upper() for field in msgspec.structs.fields(Settings)}
    documented["TOUCHLINE_DATA"] = str(ROOT / documented["TOUCHLINE_DATA"])
    assert load(documented) == load({})


def test_each_line_is_a_comment_so_that_the_example_sets_nothing() -> None:
    """Whoever copies it starts from the defaults."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert all(line.startswith("#") for line in lines if line)
