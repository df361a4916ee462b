"""What fans are told, encoded: events and images go out as bytes that were encoded once."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import orjson

from gateway.wire_json import Fragment
from storage.log_reads import MatchHead

# A message of 500 events is 350 KB: large enough to carry 10,000 events/s,
# small enough that a phone shows the first of them while the rest arrives.
EVENTS_A_MESSAGE = 500


def events(match: str, generation: int, prev: int, payloads: Sequence[bytes]) -> Fragment:
    """Events in order; `prev` is the seq before the first of them in this channel."""
    head = orjson.dumps({"match": match, "generation": generation, "prev": prev})
    return Fragment(head[:-1] + b',"events":[' + b",".join(payloads) + b"]}")


def image(
    match: str, generation: int, seq: int, encoded_image: bytes | None, resync: str | None = None
) -> dict[str, object]:
    """The answer to a join that starts with an image; `resync` says why it could not continue."""
    answer: dict[str, object] = {
        "match": match,
        "generation": generation,
        "seq": seq,
        "image": None if encoded_image is None else Fragment(encoded_image),
    }
    if resync is not None:
        answer["resync"] = resync
    return answer


def resumed(match: str, generation: int, seq: int) -> dict[str, object]:
    """The answer to a join that continues after `seq`."""
    return {"match": match, "generation": generation, "seq": seq, "resumed": True}


def resync(match: str, reason: str, generation: int, seq: int, encoded_image: bytes | None) -> Fragment:
    """An image that replaces all a fan has, and why."""
    return Fragment(orjson.dumps({**image(match, generation, seq, encoded_image), "reason": reason}))


def backfill(
    match: str, generation: int, payloads: Sequence[bytes], head_seq: int, is_complete: bool
) -> Fragment:
    """Events that a fan asked for, and where the match's log ends."""
    head = orjson.dumps(
        {"match": match, "generation": generation, "head_seq": head_seq, "complete": is_complete}
    )
    return Fragment(head[:-1] + b',"events":[' + b",".join(payloads) + b"]}")


def heartbeat(at: datetime, heads: Mapping[str, MatchHead]) -> Fragment:
    """The last seq of each followed match, from the log; one that could not be read is left out."""
    return Fragment(
        orjson.dumps({"at": at, "matches": {match: head._asdict() for match, head in heads.items()}})
    )
