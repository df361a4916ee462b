"""Read pickled snapshots that hold builtins only.

A pickle may call anything that it names. Snapshots here are plain values by
rule, so one that does more is damaged or hostile, and is not run. The
opcodes are gone through before Python's reader sees the first of them:
refusing what a pickle names is not enough, as one of nine bytes has the
reader allocate gigabytes for its memo.
"""

import io
import pickle
import struct

# The largest healthy state, a deduplication ring, has 40 KB.
LONGEST_BYTES = 64 * 1024 * 1024
# A ring has two thousand steps; a million take half a second to go through.
MOST_STEPS = 1_000_000
# A ring is a tuple of a list of tuples.
DEEPEST = 16
_PROTOCOLS = range(6)

# What Python writes for None, numbers, text, bytes, tuples, lists and dicts: opcode -> bytes behind it.
_FIXED = {
    ord(code): size
    for codes, size in (
        ("N\x88\x89)\x85\x86\x87t(]ae}su\x94.", 0),
        ("\x80Kh", 1),
        ("M", 2),
        ("Jj", 4),
        ("G\x95", 8),
    )
    for code in codes
}
# Opcode -> bytes of the length that comes before the value. LONG4 is not among them: no number has 256 bytes.
_SIZED = {0x8A: 1, 0x8C: 1, ord("X"): 4, 0x8D: 8, ord("C"): 1, ord("B"): 4, 0x8E: 8}
_PROTO, _STOP = 0x80, ord(".")
_CONTAINERS = (tuple, list, dict)

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
    """Return the value; raise NotPlainError for whatever is not one of builtins.

    Those are None, bool, int, float, str, bytes, tuple, list and dict. What
    passes is safe to be read by any other reader of pickles as well.
    """
    _go_through(data)
    try:
        value: object = _Plain(io.BytesIO(data)).load()
    except _BROKEN as error:
        raise NotPlainError(str(error) or type(error).__name__) from error
    _measure(value)
    return value


def _go_through(data: bytes) -> None:
    """Every opcode is one of those that plain values need, up to the last byte."""
    end = len(data)
    if end > LONGEST_BYTES:
        raise NotPlainError(f"{end:,} bytes")
    if end < 2 or data[0] != _PROTO or data[1] not in _PROTOCOLS:
        raise NotPlainError("it does not begin as a pickle")
    at = steps = 0
    fixed, sized = _FIXED, _SIZED
    while at < end:
        code = data[at]
        at += 1
        steps += 1
        behind = fixed.get(code)
        if behind is None:
            width = sized.get(code)
            if width is None:
                raise NotPlainError(f"opcode {code:#04x} at byte {at - 1} makes more than plain values")
            behind = width + int.from_bytes(data[at : at + width], "little")
        at += behind
        if steps > MOST_STEPS:
            raise NotPlainError(f"more than {MOST_STEPS:,} steps")
        if code == _STOP:
            break
    if at != end or data[-1] != _STOP:
        raise NotPlainError("it ends before its bytes, or goes on behind them")


def _measure(value: object) -> None:
    """A value may hold another one twice, so that it is far larger, or deeper, than its bytes."""
    waiting = [(value, 0)]
    seen = 0
    while waiting:
        holder, depth = waiting.pop()
        if not isinstance(holder, _CONTAINERS):
            continue
        seen += len(holder)
        if depth >= DEEPEST or seen > MOST_STEPS:
            raise NotPlainError(f"deeper than {DEEPEST}, or more than {MOST_STEPS:,} values")
        values = holder.values() if isinstance(holder, dict) else holder
        waiting += [(one, depth + 1) for one in values if isinstance(one, _CONTAINERS)]
        if isinstance(holder, dict):
            waiting += [(one, depth + 1) for one in holder if isinstance(one, tuple)]
