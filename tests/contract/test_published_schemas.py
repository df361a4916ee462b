"""What we publish about our records is what the code reads and writes."""

from collections.abc import Iterator
from typing import Any

import pytest

from schemas import json_schemas
from schemas.descriptions import FIELDS

PUBLISHED = json_schemas.generate()
GENERATE = "run: python -m schemas.json_schemas"


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_schema_is_what_the_code_generates(name: str) -> None:
    kept = (json_schemas.PUBLISHED / name).read_text(encoding="utf-8")
    assert kept == json_schemas.encode(PUBLISHED[name]), GENERATE


def test_nothing_else_is_published() -> None:
    kept = {path.name for path in json_schemas.PUBLISHED.iterdir()}
    assert kept == set(PUBLISHED), GENERATE


def _fields() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for schema in PUBLISHED.values():
        for struct, definition in schema["$defs"].items():
            for field, shape in definition.get("properties", {}).items():
                yield struct, field, shape


def test_every_published_field_says_what_it_means() -> None:
    silent = {f"{struct}.{field}" for struct, field, shape in _fields() if not shape.get("description")}
    assert not silent


def test_every_description_belongs_to_a_field() -> None:
    """A text of a field that was renamed would go on describing nothing."""
    names = {name for struct, field, _ in _fields() for name in (field, f"{struct}.{field}")}
    assert set(FIELDS) <= names


def test_no_schema_forbids_fields_that_it_does_not_name() -> None:
    """Records grow: a reader that validates must not break when they do."""
    assert not [
        name for name, schema in PUBLISHED.items() if "additionalProperties" in _keys_of_objects(schema)
    ]


def _keys_of_objects(schema: dict[str, Any]) -> set[str]:
    """Of the shapes with named fields; a map says of what its values are."""
    return {key for shape in schema["$defs"].values() if "properties" in shape for key in shape}


def test_every_reference_inside_a_schema_leads_somewhere() -> None:
    for name, schema in PUBLISHED.items():
        targets = {f"#/$defs/{struct}" for struct in schema["$defs"]}
        assert set(_references(schema)) <= targets, name


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
