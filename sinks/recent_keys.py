"""What a writer appended a moment ago, so that it can answer look-ups without the database."""

# Keys kept per shard; about 3 MB.
RECENT_KEYS = 20_000


class RecentKeys:
    """Keys that this writer itself appended, with their body hash.

    It may answer for the log because the fence makes it the only writer;
    what is not in here has to be looked up.
    """

    def __init__(self, kept: int = RECENT_KEYS) -> None:
        self._kept = kept
        self._new: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self._new.get(key) or self._old.get(key)

    def add(self, key: bytes, body_hash: bytes) -> None:
        if len(self._new) >= self._kept:
            self._old, self._new = self._new, {}
        self._new[key] = body_hash

    def clear(self) -> None:
        self._new, self._old = {}, {}
