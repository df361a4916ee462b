"""JSON Schemas of what crosses the platform's border, generated from the records.

`python -m schemas.json_schemas` writes them to `schemas/published/`; a test
holds the files to what this module generates.
"""

import inspect
import json
from pathlib import Path
from typing import Any

import msgspec

from schemas.control import ControlRecord
from schemas.descriptions import FIELDS
from schemas.image import MatchImage
from schemas.letters import REASONS, DeadLetter
from schemas.live import LiveEvent
from schemas.raw import RawEvent

PUBLISHED = Path(__file__).with_name("published")
DRAFT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

# File name -> the record, its title, and what an integrator does with it.
_DOCUMENTS: dict[str, tuple[Any, str, str]] = {
    "raw-event": (
        RawEvent,
        "Raw event",
        "What a source says. One JSON object per record: pushed over HTTP, or the value of a record on "
        "`sensor-events`, `broadcast-events`, `social-events` or `derived-events`, with the match as its "
        "key. Identity is (match, source, source_event_id, revision). Texts hold neither NUL nor lone "
        "surrogates, integers stay within 2**53 - 1, no object names a field twice; a record has 64 KiB and "
        "32 levels at most. Further fields are taken, kept and passed on as they are.",
    ),
    "live-event": (
        LiveEvent,
        "Live event",
        "What fans, apps and side flows get, over Socket.IO, REST and the topic `live-events`, and what the "
        "log stores. Count `seq` per match to see gaps; a correction is an event of its own with a higher "
        "revision.",
    ),
    "match-image": (
        MatchImage,
        "Image of a match",
        "Everything a client needs to join a match: the state after the event `seq`. Below 64 KiB for any "
        "match.",
    ),
    "dead-letter": (
        DeadLetter,
        "Dead letter",
        "A rejected record. On the topic `<topic>-dlq` the value is the original itself and the rest are "
        "headers; as JSON, bytes are base64.",
    ),
    "control-record": (
        ControlRecord,
        "Control record",
        "What people tell the lane that writes a match: the value of a record on `derived-events`, with the "
        "match as its key, obeyed in its place among the events. Refused on any other topic.",
    ),
}


def generate() -> dict[str, Schema]:
    """Every published schema by the name of its file."""
    return {f"{name}.schema.json": _document(name, *what) for name, what in _DOCUMENTS.items()}


def encode(schema: Schema) -> str:
    """A schema as it is written: indented for people, with a last newline."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write(folder: Path = PUBLISHED) -> list[Path]:
    """Write every schema into `folder`; return the files."""
    folder.mkdir(exist_ok=True)
    written = []
    for name, schema in generate().items():
        path = folder / name
        path.write_text(encode(schema), encoding="utf-8")
        written.append(path)
    return written


def _document(name: str, kind: Any, title: str, description: str) -> Schema:
    head = {
        "$schema": DRAFT,
        "$id": f"urn:touchline:{name}",
        "title": title,
        "description": description,
    }
    schema = msgspec.json.schema(kind)
    for struct, definition in schema["$defs"].items():
        _describe(struct, definition)
    return {**head, **schema}


def _describe(struct: str, definition: Schema) -> None:
    definition["description"] = " ".join(inspect.cleandoc(definition["description"]).split())
    for field, shape in definition.get("properties", {}).items():
        known = FIELDS.get(f"{struct}.{field}") or FIELDS.get(field)
        if known is not None:
            shape["description"] = known
    if struct == "DeadLetter":
        definition["properties"]["reason"]["enum"] = list(REASONS)


def main() -> None:
    for path in write():
        print(path)


if __name__ == "__main__":
    main()
