"""Looking for what `live-events` lacks: a partition that cannot be read holds up no other."""

from collections.abc import Mapping
from typing import cast

import pytest

from dataflows.kafka_looks import LiveEventsLooker
from schemas.log_position import LogPosition
from settings import Settings
from sinks.availability import Availability
from sinks.kafka_outlet import KafkaOutlet
from storage.relay_reads import Followed, LoggedRow, LogRun, Place, RelayReads, ShardState
from storage.streams import Streams
from telemetry.log import Log
from tests.clocks import FakeClock
from tests.fixtures.mock_kafka import MockKafka

BEGIN, END = Place(0, bytes(16)), Place(1, bytes([1]) * 16)


class TwoShards(RelayReads):
    """A log with one event in each of two shards."""

    def __init__(self) -> None:
        super().__init__("", "test")

    def states(self, positions: Mapping[int, int]) -> list[ShardState]:
        return [ShardState(shard, 7, BEGIN, END, None, 0) for shard in (0, 1)]

    def place_at(self, shard: int, position: int) -> Place | None:
        return BEGIN if position == 0 else END

    def after(self, places: Mapping[int, LogPosition], limit: int) -> Followed:
        behind = [shard for shard, place in places.items() if place.position == 0]
        rows = [LoggedRow(END.position, END.chain, "m", b"{}")]
        return Followed([LogRun(shard, 7, rows) for shard in behind], [])


@pytest.mark.parametrize(("there", "sent"), [(2, {0, 1}), (1, {0})])
def test_a_partition_that_cannot_be_read_holds_up_no_other(
    mock_kafka: MockKafka, there: int, sent: set[int]
) -> None:
    """It is barred, and asked for again in the outlet's next life."""
    mock_kafka.create_topic("live-events", there)
    settings = Settings(kafka=mock_kafka.servers, shards=2)
    clock = FakeClock()
    availability = Availability("kafka", Log("test"), clock, lambda: 0.0)
    outlet = KafkaOutlet(mock_kafka.servers, ["live-events"], availability, clock)
    # Streams are asked only where a generation begins.
    streams = cast("Streams", None)
    looker = LiveEventsLooker(settings, TwoShards(), streams, outlet, availability, availability, clock)
    try:
        for _ in range(2):
            found = {run.shard for run in looker.look().items}
            assert found == sent
            assert outlet.is_barred("live-events", 1) == (1 not in sent)
            life = outlet.life
            clock.advance(60)
            outlet.bar("live-events", 0, "as good as any reason for another life")
            clock.advance(60)
            assert outlet.try_room()
            assert outlet.life > life
    finally:
        outlet.close(0)
