"""What fans are told, encoded: events and images go out as bytes that were encoded once."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import orjson

from gateway.wire_json import Fragment
from schemas.image import encode_image
from storage.log_reads import MatchHead, Page
from storage.match_reads import MatchView

# A message of 500 events is 350 KB: large enough to carry 10,000 events/s,
# small enough that a phone shows the first of them while the rest arrives.
EVENTS_A_MESSAGE = 500


def events(
    match: str, generation: int, prev: int, payloads: Sequence[bytes], chain: bytes | None
) -> Fragment:
    """Events in order; `prev` is the seq before the first in this channel, `chain` that at the last."""
    head = orjson.dumps({"match": match, "generation": generation, "prev": prev, "chain": _hex(chain)})
    return Fragment(head[:-1] + b',"events":[' + b",".join(payloads) + b"]}")


def image(view: MatchView, resync: str | None = None) -> dict[str, object]:
    """The answer to a join that starts with an image; `resync` says why it could not continue."""
    answer: dict[str, object] = {
        "match": view.match,
        "generation": view.generation,
        "seq": view.seq,
        "chain": _hex(view.chain),
        "image": None if view.image is None else Fragment(encode_image(view.image)),
    }
    if resync is not None:
        answer["resync"] = resync
    return answer


def resumed(match: str, generation: int, seq: int, chain: bytes | None) -> dict[str, object]:
    """The answer to a join that continues after `seq`."""
    return {"match": match, "generation": generation, "seq": seq, "chain": _hex(chain), "resumed": True}


def resync(view: MatchView, reason: str) -> Fragment:
    """An image that replaces all a fan has, and why."""
    return Fragment(orjson.dumps({**image(view), "reason": reason}))


def backfill(match: str, page: Page) -> Fragment:
    """Events that a fan asked for, the chain at the last of them, and where the match's log ends."""
    head = orjson.dumps(
        {
            "match": match,
            "generation": page.generation,
            "head_seq": page.head_seq,
            "complete": page.is_complete,
            "chain": _hex(page.last_chain),
        }
    )
    return Fragment(head[:-1] + b',"events":[' + b",".join(page.payloads) + b"]}")


def heartbeat(at: datetime, heads: Mapping[str, MatchHead]) -> Fragment:
    """The last seq of each followed match, from the log; one that could not be read is left out."""
    matches = {
        match: {"generation": head.generation, "seq": head.seq, "chain": head.chain.hex()}
        for match, head in heads.items()
    }
    return Fragment(orjson.dumps({"at": at, "matches": matches}))


def _hex(chain: bytes | None) -> str | None:
    return None if chain is None else chain.hex()
