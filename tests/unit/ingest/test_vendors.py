"""A broadcast format is found by its name."""

import pytest

from ingest.vendors import UnknownVendorError, VendorFormatError, known, mapper
from schemas.validation import ReadRecord
from tests.event_builders import a_goal, encoded


def test_our_own_format_is_there() -> None:
    assert "touchline" in known()


@pytest.mark.parametrize("name", ["", "opta", "../os", "__init__", "ingest.producer", "touchline.x"])
def test_a_name_that_is_no_format_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(UnknownVendorError, match="touchline"):
        mapper(name, "m-1")


def test_our_own_format_gives_back_the_record_with_all_that_it_says() -> None:
    line = encoded(a_goal()).replace(b'"body":{', b'"body":{"xg":0.31,')
    found = mapper("touchline", "").map(line)
    assert isinstance(found, ReadRecord)
    assert found.event == a_goal()
    assert b'"xg":0.31' in found.said


def test_our_own_format_names_the_field_that_is_wrong() -> None:
    with pytest.raises(VendorFormatError) as raised:
        mapper("touchline", "").map(encoded(a_goal()).replace(b'"clock":600', b'"clock":-1'))
    assert raised.value.field == "body.clock"
