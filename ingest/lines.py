"""Lines out of a stream of bytes, none of them longer than a bound. Pure."""

import re


class LineLimiter:
    """Cuts what is too long out of a stream: an endless line must not fill the memory."""

    def __init__(self, longest: int, ends: bytes = b"\n") -> None:
        """`ends` are the bytes that end a line; the bound is in bytes."""
        self._longest = longest
        self._split = re.compile(b"[" + re.escape(ends) + b"]")
        self._ends = [bytes([end]) for end in ends]
        self._length = 0  # of the line that is still open

    def feed(self, chunk: bytes) -> bytes:
        """The chunk, without the bytes of a line beyond its bound."""
        if self._length + len(chunk) <= self._longest:
            last = max(chunk.rfind(end) for end in self._ends)
            self._length = self._length + len(chunk) if last < 0 else len(chunk) - last - 1
            return chunk
        kept: list[bytes] = []
        start = 0
        for end in self._split.finditer(chunk):
            kept += [self._within(chunk[start : end.start()]), end[0]]
            self._length = 0
            start = end.end()
        kept.append(self._within(chunk[start:]))
        return b"".join(kept)

    def _within(self, piece: bytes) -> bytes:
        room = max(0, self._longest - self._length)
        self._length += len(piece)
        return piece[:room]


class LineSplitter:
    """Collects chunks and gives back the lines that are complete; only LF ends a line."""

    def __init__(self, longest: int) -> None:
        self._limiter = LineLimiter(longest)
        self._open: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes, without their LF."""
        first, *others = self._limiter.feed(chunk).split(b"\n")
        self._open.append(first)
        if not others:
            return []
        lines = [b"".join(self._open), *others]
        self._open = [lines.pop()]
        return lines

    def rest(self) -> list[bytes]:
        """The last line, when nothing ended it."""
        last = b"".join(self._open)
        self._open = []
        return [last] if last else []
