"""Dead letters: rejected records with their reason and origin."""

from typing import NamedTuple

import msgspec

# Reasons are a closed list: dashboards and redrive filter by them.
MALFORMED_JSON = "malformed_json"
INVALID_UTF8 = "invalid_utf8"
TOO_DEEP = "nested_too_deep"
INVALID_RECORD = "invalid_record"  # JSON, but not one of our records; detail names the field
FORBIDDEN_CHARACTER = "forbidden_character"  # NUL or a lone surrogate
OVERSIZED = "oversized"
EMPTY = "empty"
WRONG_PARTITION = "wrong_partition"
WRONG_TOPIC = "wrong_topic"
CONFLICTING_DUPLICATE = "conflicting_duplicate"
FOLD_FAILED = "fold_failed"
IMAGE_FULL = "image_full"
RETIRED_MATCH = "retired_match"
REFUSED_BY_STORAGE = "refused_by_storage"
REMOVED_UNREAD = "removed_unread"  # Kafka's retention was faster than a lane; detail says how much

REASONS = (
    MALFORMED_JSON,
    INVALID_UTF8,
    TOO_DEEP,
    INVALID_RECORD,
    FORBIDDEN_CHARACTER,
    OVERSIZED,
    EMPTY,
    WRONG_PARTITION,
    WRONG_TOPIC,
    CONFLICTING_DUPLICATE,
    FOLD_FAILED,
    IMAGE_FULL,
    RETIRED_MATCH,
    REFUSED_BY_STORAGE,
    REMOVED_UNREAD,
)


class Origin(NamedTuple):
    """Where a record was read from."""

    topic: str
    partition: int
    offset: int


class DeadLetter(msgspec.Struct, frozen=True, gc=False):
    """A rejected record: what it was, where it came from and why it was refused."""

    reason: str
    detail: str  # for people: the field and what is wrong with it
    origin: Origin
    key: bytes | None
    original: bytes
    match: str | None = None
