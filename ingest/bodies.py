"""The body of a push, cut into its records. Pure."""

import zlib
from typing import NamedTuple

import msgspec

JSON = "application/json"
NDJSON = "application/x-ndjson"
# A body of 4 MB could hold a million empty objects; checking them would hold up everyone else.
MOST_RECORDS = 20_000

_GZIP = 16 + zlib.MAX_WBITS  # zlib's way to say: expect a gzip header
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode


class BodyError(ValueError):
    """A body as a whole cannot be taken; `status` is the HTTP status that says so."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Line(NamedTuple):
    """One record of a body, still as bytes; `number` counts from 1."""

    number: int
    value: bytes


def media_type(content_type: str) -> str:
    """The media type that a header names; raise BodyError(415) for one that is not taken."""
    named = content_type.partition(";")[0].strip().lower()
    if named not in (JSON, NDJSON):
        raise BodyError(415, f"Content-Type is {named or 'missing'}; send {JSON} or {NDJSON}")
    return named


def inflated(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo the content encoding; raise BodyError for another than gzip, a damaged one, or too much inside."""
    named = encoding.strip().lower()
    if named in ("", "identity"):
        return body
    if named != "gzip":
        raise BodyError(415, f"Content-Encoding is {named}; send gzip or none")
    inflater = zlib.decompressobj(_GZIP)
    try:
        plain = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise BodyError(400, f"the gzip body is damaged: {error}") from error
    if len(plain) > limit:
        raise BodyError(413, f"the body holds more than {limit} bytes; send it in smaller parts")
    if not inflater.eof:
        raise BodyError(400, "the gzip body ends too early")
    return plain


def split(body: bytes, kind: str) -> list[Line]:
    """The records of a body; raise BodyError when there are none or too many, or no end can be found."""
    lines = _json(body) if kind == JSON else _ndjson(body)
    if not lines:
        raise BodyError(400, "the body holds no record")
    return lines


def _json(body: bytes) -> list[Line]:
    start = body.lstrip(b" \t\r\n")
    if not start.startswith(b"["):
        return [Line(1, body)] if start else []
    try:
        elements = _elements(body)
    except msgspec.DecodeError as error:
        raise BodyError(400, f"the array cannot be read: {error}") from error
    except RecursionError as error:
        raise BodyError(400, "the array is nested deeper than a record can be") from error
    _must_not_exceed(len(elements))
    return [Line(number, bytes(element)) for number, element in enumerate(elements, 1)]


def _ndjson(body: bytes) -> list[Line]:
    _must_not_exceed(body.count(b"\n"))
    lines = (line.strip(b" \t\r") for line in body.split(b"\n"))
    return [Line(number, line) for number, line in enumerate(lines, 1) if line]


def _must_not_exceed(records: int) -> None:
    if records > MOST_RECORDS:
        raise BodyError(413, f"the body holds {records} records; send at most {MOST_RECORDS} at once")
