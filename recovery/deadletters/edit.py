"""Make a corrected copy of a letter's bytes."""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec


class CannotEditError(ValueError):
    """The bytes cannot be changed in the way that was asked for."""


def with_fields_set(original: bytes, assignments: Sequence[str]) -> bytes:
    """A JSON object with fields replaced; pure.

    `body.player=Messi` sets a text, `revision=2` a number: what reads as
    JSON is JSON, `body.text='"2"'` says that a text is meant. Raises
    CannotEditError.
    """
    try:
        record = msgspec.json.decode(original)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CannotEditError(
            f"the letter holds no JSON ({error}): give whole new bytes with --file"
        ) from error
    if not isinstance(record, dict):
        raise CannotEditError("the letter holds no JSON object: give whole new bytes with --file")
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise CannotEditError(f"--set {assignment}: say field=value, as in body.player=Messi")
        _assign(record, path, _value(text))
    return msgspec.json.encode(record)


def _assign(record: dict[str, Any], path: str, value: object) -> None:
    *parents, field = path.split(".")
    inside: Any = record
    for name in parents:
        inside = inside.setdefault(name, {})
        if not isinstance(inside, dict):
            raise CannotEditError(f"--set {path}: {name} is no object")
    inside[field] = value


def _value(text: str) -> object:
    try:
        return msgspec.json.decode(text.encode())
    except msgspec.DecodeError:
        return text


def readable(value: bytes) -> bytes | None:
    """JSON as people read it; None where it is none."""
    try:
        return msgspec.json.format(value, indent=2)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def compact(value: bytes) -> bytes:
    """JSON without the spaces that an editor was given to read it by; other bytes as they are."""
    try:
        return msgspec.json.format(value, indent=-1)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return value


def edited_by_hand(original: bytes) -> bytes:
    """Open the person's editor on the bytes; return what they saved; raise CannotEditError."""
    with tempfile.TemporaryDirectory(prefix="touchline-letter-") as folder:
        path = Path(folder) / "letter.json"
        path.write_bytes(readable(original) or original)
        # The shell looks up the editor, and lets it have arguments, as git does.
        argv = ["sh", "-c", 'eval "${VISUAL:-${EDITOR:-vi}} \\"\\$1\\""', "sh", str(path)]
        if subprocess.run(argv, check=False).returncode != 0:
            raise CannotEditError("the editor failed, so nothing was changed; is EDITOR right?")
        return compact(path.read_bytes())
