"""Partitions agree with Kafka's own clients."""

import pytest

from schemas.partitioning import murmur2, partition_of


# What Kafka's Java client gives (its UtilsTest, and tests of other clients); Java's int is signed.
@pytest.mark.parametrize(
    ("text", "java"),
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
        ("1", -1993445489),
        ("12", 126087238),
        ("123", -267702483),
        ("1234", -1614185708),
        ("12345", -1188365604),
    ],
)
def test_murmur2_is_the_one_of_java(text: str, java: int) -> None:
    assert murmur2(text.encode()) == java % 2**32


@pytest.mark.parametrize(
    ("match", "of_8", "of_64"),
    [("fra-2031", 3, 11), ("1", 7, 15), ("barcelona_girona_15986", 2, 58), ("partido-ñ", 3, 43)],
)
def test_partition_of_a_match_never_changes(match: str, of_8: int, of_64: int) -> None:
    """The log of a match lies in its shard for good."""
    assert (partition_of(match, 8), partition_of(match, 64)) == (of_8, of_64)


def test_partitions_stay_right_when_the_cache_is_emptied() -> None:
    before = partition_of("fra-2031", 8)
    for n in range(50_001):
        partition_of(f"other-{n}", 8)
    assert partition_of("fra-2031", 8) == before


def test_matches_spread_over_all_partitions() -> None:
    seen = [partition_of(f"match-{n}", 64) for n in range(6_400)]
    counts = [seen.count(partition) for partition in range(64)]
    assert min(counts) > 60
    assert max(counts) < 140
