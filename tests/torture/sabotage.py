"""Sabotage of the product, for negative controls: each takes one precaution away.

A sabotage changes a module of the process that runs with its name in
TORTURE_SABOTAGE; what it takes away in the database is done by its control.
"""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

PLAIN_XADD = "plain_xadd"
RING_WITH_AUTHORITY = "ring_with_authority"
FORK_BY_TOP_KEY = "fork_by_top_key"
LOOK_UP_FIRST = "look_up_before_the_lock"

MODULE_OF = {
    PLAIN_XADD: "storage.streams",
    RING_WITH_AUTHORITY: "dataflows.dedupe",
    FORK_BY_TOP_KEY: "dataflows.stream_plan",
    LOOK_UP_FIRST: "storage.append",
}

# Like `streams/append_pack.lua`, without the comparison: Redis itself refuses only what is not newer.
_XADD = b"""
local added = redis.pcall(
  'XADD', KEYS[1], ARGV[5] .. '-0', 'f', ARGV[4], 'c', ARGV[6], 'e', ARGV[7])
return { added.err and 0 or 1, ARGV[5], ARGV[6] }
"""


def _append_without_comparing(module: ModuleType) -> None:
    from hashlib import sha1

    script = module._APPEND
    script.text = _XADD
    script.sha = sha1(_XADD, usedforsecurity=False).hexdigest()


def _drop_what_was_seen(module: ModuleType) -> None:
    mark = module.FingerprintRing.mark

    def mark_with_authority(ring: Any, batch: Any) -> Any:
        marked = mark(ring, batch)
        kept = [entry for index, entry in enumerate(marked.entries) if index not in marked.suspects]
        return marked._replace(entries=kept, suspects=frozenset())

    module.FingerprintRing.mark = mark_with_authority


def _compare_keys_of_tops(module: Any) -> None:
    """Take stream and log for one history when the events at the stream's end have the same key."""
    import settings
    from schemas.live import decode_live
    from storage.connect import connect
    from storage.streams import Streams

    has_parted = module.has_parted
    loaded = settings.load()
    streams = Streams(loaded.redis)

    def has_another_key(view: Any) -> bool:
        if not has_parted(view):
            return False
        top = view.top.position
        (last,) = streams.read_after(view.stream.key, top - 1, 1)
        with connect(loaded.postgres, "touchline-sabotage") as connection:
            row = connection.execute(
                "SELECT replace(event_key::text, '-', '') FROM events WHERE shard = %s AND position = %s",
                (view.stream.shard, top),
            ).fetchone()
        return row is None or row[0] != decode_live(last.payloads[-1]).event_id

    module.has_parted = has_another_key


def _look_up_first(module: Any) -> None:
    """Find the known keys before the shard is locked, so before an append that is under way commits."""

    def look_up_and_lock(connection: Any, expected: Sequence[Any], keys: Sequence[bytes]) -> Any:
        found = module.known_keys(connection, keys) if keys else {}
        connection.execute("BEGIN")
        connection.execute(module.check(connection, expected), prepare=False)
        return found

    module.lock_and_look_up = look_up_and_lock


_APPLY: dict[str, Callable[[ModuleType], None]] = {
    PLAIN_XADD: _append_without_comparing,
    RING_WITH_AUTHORITY: _drop_what_was_seen,
    FORK_BY_TOP_KEY: _compare_keys_of_tops,
    LOOK_UP_FIRST: _look_up_first,
}


def apply(name: str, module: ModuleType) -> None:
    """Change a module that was just imported, if this sabotage is about it."""
    if MODULE_OF.get(name) == module.__name__:
        _APPLY[name](module)
