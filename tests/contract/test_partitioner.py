"""librdkafka's murmur2 partitioner and ours send a match to the same partition."""

from confluent_kafka import KafkaError, Message, Producer

from schemas.partitioning import partition_of

MATCHES = [f"match-{n}" for n in range(40)] + ["partido-ñ", "a", "ab", "abc", "abcd"]


def test_a_stock_producer_with_murmur2_finds_our_partition() -> None:
    """Its broker is the mock inside librdkafka, so this needs no server."""
    producer = Producer({"test.mock.num.brokers": 1, "partitioner": "murmur2", "log_level": 0})
    partitions = len(producer.list_topics("raw", timeout=10).topics["raw"].partitions)
    landed: dict[str, int | None] = {}

    def note(error: KafkaError | None, message: Message) -> None:
        assert error is None
        landed[(message.key() or b"").decode()] = message.partition()

    for match in MATCHES:
        producer.produce("raw", key=match.encode(), value=b"", on_delivery=note)
    assert producer.flush(10) == 0
    assert partitions > 1
    assert landed == {match: partition_of(match, partitions) for match in MATCHES}
