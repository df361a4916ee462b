"""A pack: several events in one stream entry, each behind its length.

One entry per event costs Redis five times the CPU of one entry per pack.
"""

from collections.abc import Sequence
from struct import Struct

_LENGTH = Struct(">I")
_LENGTH_BYTES = _LENGTH.size
_write_length = _LENGTH.pack
_read_length = _LENGTH.unpack_from


class PackError(ValueError):
    """A pack is damaged; `offset` is where its bytes stop making sense."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"at byte {offset}: {reason}")
        self.offset = offset
        self.reason = reason


class TruncatedPackError(PackError):
    """A pack ends inside a length or inside an event."""


class EmptyPackError(PackError):
    """A pack without events: an entry always holds at least one."""


def pack(payloads: Sequence[bytes]) -> bytes:
    """Join events, each behind its length in 4 bytes, big-endian; raise EmptyPackError for none."""
    if not payloads:
        raise EmptyPackError(0, "a pack holds at least one event")
    parts: list[bytes] = []
    for payload in payloads:
        parts.append(_write_length(len(payload)))
        parts.append(payload)
    return b"".join(parts)


def unpack(blob: bytes) -> list[bytes]:
    """The events of a pack, in order; raise PackError when it is damaged."""
    end = len(blob)
    if not end:
        raise EmptyPackError(0, "a pack holds at least one event")
    payloads: list[bytes] = []
    at = 0
    while at < end:
        start = at + _LENGTH_BYTES
        if start > end:
            raise TruncatedPackError(at, f"{end - at} of {_LENGTH_BYTES} bytes of a length")
        (length,) = _read_length(blob, at)
        at = start + length
        if at > end:
            raise TruncatedPackError(start, f"{end - start} of {length} bytes of an event")
        payloads.append(blob[start:at])
    return payloads
