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

# What a key of a dict may cost. A tuple is hashed anew at each look, so one that holds another twice, and
# so on, takes hours in 250 bytes; and long numbers can be chosen to have one hash.
_MOST_LONG_KEYS = 1_000
_MARK, _APPEND, _SETITEM, _SETITEMS, _LONG1, _MEMOIZE = *b"(asu", 0x8A, 0x94
_GETS = frozenset(b"hj")
# Tuples, and how many values each takes; "t" takes all up to a mark.
_TUPLES = {ord(")"): 0, 0x85: 1, 0x86: 2, 0x87: 3, ord("t"): 0}
_UNTIL_MARK = frozenset(b"teu")
_NO_VALUE = frozenset(b"\x80\x95.\x94")

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
    if _go_through(data):
        _check_keys(data)
    try:
        value: object = _Plain(io.BytesIO(data)).load()
    except _BROKEN as error:
        raise NotPlainError(str(error) or type(error).__name__) from error
    _measure(value)
    return value


def _go_through(data: bytes) -> bool:
    """Every opcode is one of those that plain values need, to the last byte; tell whether it fills a dict."""
    end = len(data)
    if end > LONGEST_BYTES:
        raise NotPlainError(f"{end:,} bytes")
    if end < 2 or data[0] != _PROTO or data[1] not in _PROTOCOLS:
        raise NotPlainError("it does not begin as a pickle")
    at = steps = 0
    fills_dict = False
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
        fills_dict = fills_dict or code in (_SETITEM, _SETITEMS)
        if steps > MOST_STEPS:
            raise NotPlainError(f"more than {MOST_STEPS:,} steps")
        if code == _STOP:
            break
    if at != end or data[-1] != _STOP:
        raise NotPlainError("it ends before its bytes, or goes on behind them")
    return fills_dict


def _check_keys(data: bytes) -> None:
    """No key of a dict is a tuple, and few are long numbers: by the opcodes, as loading one is hashing it."""
    stack: list[int] = []  # of each value: the opcode that made it
    marks: list[int] = []
    memo: list[int] = []
    long_keys = at = 0
    try:
        while at < len(data):
            code, width = data[at], _SIZED.get(data[at], 0)
            at += 1
            behind = width + int.from_bytes(data[at : at + width], "little") if width else _FIXED[code]
            if code in _GETS:
                stack.append(memo[int.from_bytes(data[at : at + behind], "little")])
            elif code == _MEMOIZE:
                memo.append(stack[-1])
            else:
                for key in _keys_after(code, stack, marks):
                    if key in _TUPLES:
                        raise NotPlainError("a dict in it has a tuple as key")
                    long_keys += key == _LONG1
            at += behind
    except LookupError as error:
        raise NotPlainError("it takes a value that is not there") from error
    if long_keys > _MOST_LONG_KEYS:
        raise NotPlainError(f"more than {_MOST_LONG_KEYS:,} keys of dicts in it are long numbers")


def _keys_after(code: int, stack: list[int], marks: list[int]) -> list[int]:
    """Do to the stack what an opcode does; return the keys that it puts into a dict."""
    keys: list[int] = []
    if code == _MARK:
        marks.append(len(stack))
    elif code in _UNTIL_MARK:
        first = marks.pop()
        keys = stack[first::2] if code == _SETITEMS else []
        stack[first:] = [code] if code in _TUPLES else []
    elif code in _TUPLES:
        stack[len(stack) - _TUPLES[code] :] = [code]
    elif code == _SETITEM:
        keys = [stack[-2]]
        del stack[-2:]
    elif code == _APPEND:
        stack.pop()
    elif code not in _NO_VALUE:
        stack.append(code)
    return keys


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
