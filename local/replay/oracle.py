"""Compare what came out with what should have. Pure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

# Of the file's fields, those that the delivered events can answer.
_COMPARED = ("final_score", "goal_timeline", "cards", "passes", "passes_completed", "substitutions")


class OracleUnreadableError(ValueError):
    """The file with the truth cannot be used."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path


def read_oracle(path: Path) -> dict[str, Any]:
    """The truth about a match; raise OracleUnreadableError."""
    try:
        oracle = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise OracleUnreadableError(path, str(error)) from error
    if not any(name in oracle for name in (*_COMPARED, "records")):
        raise OracleUnreadableError(path, f"none of {', '.join(_COMPARED)} is in it")
    return oracle


def differences(
    oracle: Mapping[str, Any], outcome: Mapping[str, Any], events: Mapping[str, int]
) -> list[str]:
    """What differs, one sentence each; empty when all is as it should be."""
    found: list[str] = []
    for name in _COMPARED:
        if name in oracle:
            found += _differ(name, oracle[name], outcome[name])
    if "records" in oracle:
        for where, count in events.items():
            found += _differ(f"events in {where}", oracle["records"], count)
    return found


def _differ(name: str, expected: Any, got: Any) -> list[str]:
    if isinstance(expected, list):
        return _lists_differ(name, expected, got)
    if isinstance(expected, Mapping):
        keys = [*expected, *(key for key in got if key not in expected)]
        return [
            f"{name} of {key}: {got.get(key)!r} instead of {expected.get(key)!r}"
            for key in keys
            if expected.get(key) != got.get(key)
        ]
    return [] if expected == got else [f"{name}: {got!r} instead of {expected!r}"]


def _lists_differ(name: str, expected: Sequence[Any], got: Sequence[Any]) -> list[str]:
    """As sets of rows: two rows of one second have no order of their own."""
    found = [f"{name}: {_shown(row)} is missing" for row in expected if row not in got]
    found += [f"{name}: {_shown(row)} is too much" for row in got if row not in expected]
    if not found and len(expected) != len(got):
        found.append(f"{name}: {len(got)} rows instead of {len(expected)}")
    return found


def _shown(row: Any) -> str:
    return msgspec.json.encode(row).decode()
