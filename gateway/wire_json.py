"""JSON as python-socketio wants it (`dumps`, `loads`), by orjson.

`orjson.Fragment` in a payload goes out as the bytes it holds: an event that
was encoded once, when it was appended, is never parsed or encoded again.
"""

from typing import Any

import orjson

Fragment = orjson.Fragment


def dumps(value: Any, **_options: Any) -> str:
    """Encode; the options of the standard library's `dumps` that callers pass are about spacing."""
    return orjson.dumps(value).decode()


def loads(text: str | bytes, **_options: Any) -> Any:
    """Decode; raise ValueError."""
    return orjson.loads(text)
