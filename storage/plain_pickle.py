"""Read pickled snapshots that hold builtins only.

A pickle may call anything that it names. Snapshots here are plain values by
rule, so one that names something is damaged or hostile, and is not run.
"""

import io
import pickle
import struct

# The largest healthy state, a deduplication ring, has 40 KB.
LONGEST_BYTES = 64 * 1024 * 1024

_BROKEN = (
    pickle.UnpicklingError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,  # UnicodeDecodeError too
    struct.error,
)


class NotPlainError(ValueError):
    """A snapshot is no pickle of plain builtins."""


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: object) -> object:
        raise pickle.UnpicklingError("it refers to something outside")


def load_plain(data: bytes) -> object:
    """Return the value; raise NotPlainError for whatever is not one of builtins."""
    if len(data) > LONGEST_BYTES:
        raise NotPlainError(f"{len(data):,} bytes")
    try:
        value: object = _Plain(io.BytesIO(data)).load()
    except _BROKEN as error:
        raise NotPlainError(str(error) or type(error).__name__) from error
    return value
