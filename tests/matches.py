"""Names of matches that lie where a test needs them."""

from schemas.partitioning import partition_of


def neighbour_of(match: str, shards: int) -> str:
    """Another match of the same shard."""
    home = partition_of(match, shards)
    return next(name for n in range(99) if partition_of(name := f"beside-{n}", shards) == home)
