"""A body is cut into records, or refused as a whole with the status that says why."""

import gzip
import zlib

import pytest

from ingest.bodies import JSON, MOST_RECORDS, NDJSON, BodyError, Line, inflated, media_type, split


def status_of(error: pytest.ExceptionInfo[BodyError]) -> int:
    return error.value.status


def test_an_object_is_one_record() -> None:
    assert split(b' {"a": 1}', JSON) == [Line(1, b' {"a": 1}')]


def test_an_array_is_cut_into_its_elements_byte_by_byte() -> None:
    assert split(b'\n[ {"a": 1.50} ,"x", {}]', JSON) == [
        Line(1, b'{"a": 1.50}'),
        Line(2, b'"x"'),
        Line(3, b"{}"),
    ]


def test_ndjson_keeps_line_numbers_over_blank_lines_and_crlf() -> None:
    assert split(b'{"a":1}\r\n\n{"b":2}\n', NDJSON) == [Line(1, b'{"a":1}'), Line(3, b'{"b":2}')]


def test_a_separator_of_unicode_inside_a_text_ends_no_line() -> None:
    text = '{"a":"one\u2028two\x85three"}'.encode()
    assert split(text, NDJSON) == [Line(1, text)]


def test_a_bad_line_is_left_for_the_check_of_records() -> None:
    """One bad line must not refuse its neighbours."""
    assert split(b'{"a":1}\n{"b"\n', NDJSON) == [Line(1, b'{"a":1}'), Line(2, b'{"b"')]


@pytest.mark.parametrize("body", [b"", b"  \n ", b"[]"])
def test_a_body_without_a_record_is_refused(body: bytes) -> None:
    with pytest.raises(BodyError) as error:
        split(body, JSON)
    assert status_of(error) == 400


@pytest.mark.parametrize("body", [b'[{"a":1}', b"[1,,2]", b"[" * 100_000, b'[{"a":1}] x'])
def test_an_array_without_an_end_is_refused(body: bytes) -> None:
    with pytest.raises(BodyError) as error:
        split(body, JSON)
    assert status_of(error) == 400


@pytest.mark.parametrize(
    ("body", "kind"), [(b"[" + b"1," * MOST_RECORDS + b"1]", JSON), (b"\n" * 20_001, NDJSON)]
)
def test_too_many_records_are_refused(body: bytes, kind: str) -> None:
    with pytest.raises(BodyError) as error:
        split(body, kind)
    assert status_of(error) == 413


@pytest.mark.parametrize("header", ["application/json; charset=utf-8", "Application/JSON"])
def test_a_media_type_is_read_without_its_parameters(header: str) -> None:
    assert media_type(header) == JSON


@pytest.mark.parametrize("header", ["", "text/plain", "application/jsonp"])
def test_another_media_type_is_refused(header: str) -> None:
    with pytest.raises(BodyError) as error:
        media_type(header)
    assert status_of(error) == 415


def test_gzip_is_undone() -> None:
    assert inflated(gzip.compress(b"[1]", mtime=0), "gzip", 100) == b"[1]"
    assert inflated(b"[1]", "identity", 100) == b"[1]"


def test_a_bomb_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(BodyError) as error:
        inflated(gzip.compress(bytes(10_000_000)), "gzip", 1_000)
    assert status_of(error) == 413


@pytest.mark.parametrize("body", [b"plain", zlib.compress(b"[1]"), gzip.compress(b"[1]", mtime=0)[:-4], b""])
def test_a_damaged_gzip_body_is_refused(body: bytes) -> None:
    with pytest.raises(BodyError) as error:
        inflated(body, "gzip", 100)
    assert status_of(error) == 400


def test_another_encoding_is_refused() -> None:
    with pytest.raises(BodyError) as error:
        inflated(b"", "br", 100)
    assert status_of(error) == 415
