"""Bytes that are no record, of many kinds. Pure."""

import random
from collections.abc import Callable

import msgspec

from schemas.raw import RawEvent
from schemas.record_form import MAX_RECORD_BYTES

_encode = msgspec.json.Encoder().encode
_Fields = dict[str, object]


def spoil(draw: random.Random, record: RawEvent, mark: str, as_text: bool) -> bytes:
    """Spoil a record; `mark` makes the bytes unlike any others.

    `as_text` keeps to what a stream of text can carry: UTF-8 without control
    characters. Never holds a line end.
    """
    fields: _Fields = {"mark": mark, **msgspec.to_builtins(record)}
    fields["source_event_id"] = f"spoiled-{mark}"
    kinds = _TEXT_KINDS if as_text else _TEXT_KINDS + _BYTE_KINDS
    return draw.choice(kinds)(draw, fields)


def _cut(draw: random.Random, fields: _Fields) -> bytes:
    whole = _encode(fields)
    return whole[: draw.randrange(30, len(whole.rstrip(b"}")))].decode(errors="ignore").encode()


def _wrong_type(draw: random.Random, fields: _Fields) -> bytes:
    field, value = draw.choice(
        (
            ("match", 7),
            ("revision", "two"),
            ("occurred_at", "yesterday"),
            ("body", []),
            ("type", None),
            ("action", "undo"),
            ("revision", -1),
            ("revision", 2**60),
        )
    )
    return _encode({**fields, field: value})


def _missing_field(draw: random.Random, fields: _Fields) -> bytes:
    missing = draw.choice(("match", "type", "occurred_at", "source_event_id"))
    return _encode({name: value for name, value in fields.items() if name != missing})


def _nul(draw: random.Random, fields: _Fields) -> bytes:
    return _encode({**fields, "source_event_id": f"nul\0{fields['mark']}"})


def _lone_surrogate(draw: random.Random, fields: _Fields) -> bytes:
    escape = draw.choice((b"\\ud83d", b"\\udc00"))
    return _encode({**fields, "source_event_id": "half-@"}).replace(b"half-@", b"half-" + escape)


def _too_long(draw: random.Random, fields: _Fields) -> bytes:
    name, text = "x" * 121, "goal! " * 700
    return _encode({**fields, "body": {"text": text, "author": name, "player": name}})


def _oversized(draw: random.Random, fields: _Fields) -> bytes:
    return _encode({**fields, "padding": "x" * (MAX_RECORD_BYTES + draw.randrange(1, 1000))})


def _too_deep(draw: random.Random, fields: _Fields) -> bytes:
    depth = draw.randrange(5_000, 10_000)
    return f'{{"mark": "{fields["mark"]}", "body": '.encode() + b"[" * depth + b"]" * depth + b"}"


def _no_json(draw: random.Random, fields: _Fields) -> bytes:
    page = draw.choice(
        (
            "<html><body>502 Bad Gateway {}</body></html>",
            "upstream timed out, attempt {}",
            "{}, NaN, undefined",
        )
    )
    return page.replace("{}", str(fields["mark"])).encode()


def _another_source(draw: random.Random, fields: _Fields) -> bytes:
    return _encode({**fields, "source": "carrier_pigeon"})


def _raw_nul(draw: random.Random, fields: _Fields) -> bytes:
    return _encode(fields).replace(b"spoiled-", b"spoiled\0")


def _no_utf8(draw: random.Random, fields: _Fields) -> bytes:
    return _encode(fields).replace(b"spoiled-", b"sp\xffiled\xc3-")


_TEXT_KINDS: tuple[Callable[[random.Random, _Fields], bytes], ...] = (
    *(_cut, _wrong_type, _missing_field, _nul, _lone_surrogate, _no_json, _another_source) * 3,
    _too_long,
    _oversized,
    _too_deep,
)
_BYTE_KINDS = (_raw_nul, _no_utf8) * 2
