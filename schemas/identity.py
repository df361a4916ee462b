"""Who a record is, and how a log proves that it is the same log.

Pure. The digests are stored, so changing any of them is a migration.
"""

from hashlib import blake2b

from schemas.raw import RawEvent, source_of
from schemas.record_form import form_of_ours

KEY_BYTES = 16
BODY_HASH_BYTES = 8
CHAIN_BYTES = 16
ZERO_CHAIN = bytes(CHAIN_BYTES)

# Matches whose prefix is remembered: far above what one lane ever holds.
_PREFIXES_KEPT = 50_000
_prefixes: dict[str, bytes] = {}


def match_prefix(match: str) -> bytes:
    """The first 4 bytes of every key of a match, so that index writes stay local."""
    prefix = _prefixes.get(match)
    if prefix is None:
        if len(_prefixes) >= _PREFIXES_KEPT:
            _prefixes.clear()
        prefix = _prefixes[match] = blake2b(match.encode(), digest_size=4).digest()
    return prefix


def event_key(match: str, source: str, source_event_id: str, revision: int) -> bytes:
    """The 16-byte identity of a record.

    NUL separates the parts: decode refuses it inside them, so no two
    identities read alike.
    """
    identity = f"{match}\0{source}\0{source_event_id}\0{revision}".encode()
    prefix = _prefixes.get(match) or match_prefix(match)
    return prefix + blake2b(identity, digest_size=12).digest()


def key_of(event: RawEvent) -> bytes:
    """`event_key` of a record."""
    return event_key(event.match, source_of(event), event.source_event_id, event.revision)


def hash_said(said: bytes) -> bytes:
    """8 bytes over all that the source said: a form of schemas.record_form, without our stamp."""
    return blake2b(said, digest_size=BODY_HASH_BYTES).digest()


def body_hash(event: RawEvent) -> bytes:
    """`hash_said` of a record that was made here; one that was read is hashed by its own form."""
    return hash_said(form_of_ours(event))


def next_chain(chain: bytes, key: bytes, body: bytes) -> bytes:
    """The chain after a row: equal chains at a position mean equal logs up to there."""
    return blake2b(chain + key + body, digest_size=CHAIN_BYTES).digest()
