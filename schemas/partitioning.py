"""Which partition a match belongs to: Kafka's own murmur2, so that Java producers agree.

Shard = partition index, the same for a match on every raw topic.
"""

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
_KEPT = 50_000
_known: dict[tuple[str, int], int] = {}


def murmur2(data: bytes) -> int:
    """MurmurHash2 in 32 bits, unsigned, with the seed of org.apache.kafka.common.utils.Utils.murmur2."""
    length = len(data)
    h = (_SEED ^ length) & _MASK
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    rest = data[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    return h ^ (h >> 15)


def partition_of(match: str, partitions: int) -> int:
    """The partition of a match among `partitions`."""
    known = _known.get((match, partitions))
    if known is None:
        if len(_known) >= _KEPT:
            _known.clear()
        known = _known[match, partitions] = (murmur2(match.encode()) & 0x7FFFFFFF) % partitions
    return known
