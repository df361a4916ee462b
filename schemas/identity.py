"""Who a record is, and how a log proves that it is the same log.

Pure. The digests are stored, so changing any of them is a migration.
"""

from hashlib import blake2b

import msgspec

from schemas.raw import DerivedRecord, RawEvent, source_of

KEY_BYTES = 16
BODY_HASH_BYTES = 8
CHAIN_BYTES = 16
ZERO_CHAIN = bytes(CHAIN_BYTES)

# Matches whose prefix is remembered: far above what one lane ever holds.
_PREFIXES_KEPT = 50_000
_prefixes: dict[str, bytes] = {}

_encode = msgspec.json.Encoder().encode
# Sorted keys: the values of a derived record come in any order. Costs twice as much.
_encode_sorted = msgspec.json.Encoder(order="deterministic").encode
_OURS = b',"ingested_at":'  # the last field of a record


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


def encode_record(event: RawEvent) -> bytes:
    """A record as we write it: the same bytes whatever its order or spacing on the wire."""
    return (_encode_sorted if type(event) is DerivedRecord else _encode)(event)


def hash_record(record: bytes) -> bytes:
    """8 bytes over all that the source said, from what `encode_record` gave.

    `ingested_at` is ours and no part of it: a repeat is accepted at another time.
    """
    return blake2b(record[: record.rindex(_OURS)], digest_size=BODY_HASH_BYTES).digest()


def body_hash(event: RawEvent) -> bytes:
    """`hash_record` of a record that is not encoded yet."""
    return hash_record(encode_record(event))


def next_chain(chain: bytes, key: bytes, body: bytes) -> bytes:
    """The chain after a row: equal chains at a position mean equal logs up to there."""
    return blake2b(chain + key + body, digest_size=CHAIN_BYTES).digest()
