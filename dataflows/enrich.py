"""Make the log of what the sources say: every event once, in its match's order.

   sensor-events  broadcast-events  social-events  derived-events     Kafka, one partition per shard
          \\              |                |              /
                         read                          sources/kafka.py: incidents of play first
                           |  RawBatch: bytes of one partition
                         decode                        dataflows/decode.py
                           |  EventBatch: events and dead letters, in order
                         dedupe                        dataflows/dedupe.py: marks, never drops
                           |  the same, suspects marked
                         enrich                        dataflows/enrichment.py
                           |  the same, with importance and language
                         append                        sinks/event_log.py: the engine's side of it
                           |                             sinks/shard_log.py: repeats, order, fold
                           |                             sinks/committer.py: one transaction
                           |
                 Postgres `events`                 storage/append.py
                           |  committed
            Redis `ev:{shard}:<generation>`        sinks/live_streams.py (repaired by dataflows/deliver.py)
                           |
                  gateway/, and so the fans        pump.py reads the streams, broadcast.py sends

Run it with `python -m bytewax.run dataflows.enrich`, on servers that are up
(`./dev up`). A new step is a pure function on an EventBatch between two of
these, with a step id of its own. A new source is a Struct and a topic in
schemas/raw.py and a priority in sources/kafka.py. Over HTTP push or straight
into Kafka it needs no more; one that has to be asked or listened to gets a
module beside ingest/poll.py, started in ingest/assembly.py. Another vendor of
the broadcast feed is a module in ingest/vendors/.
"""

from collections.abc import Callable
from datetime import datetime

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource
from bytewax.outputs import FixedPartitionedSink

from dataflows.decode import decoder
from dataflows.dedupe import ring
from dataflows.enrichment import enrich
from dataflows.lane import Lane, open_lane
from schemas.batch import EventBatch, RawBatch
from settings import Settings
from sinks.event_log import LogState


def build(
    source: FixedPartitionedSource[tuple[str, RawBatch], dict[str, int]],
    sink: FixedPartitionedSink[EventBatch, LogState],
    settings: Settings,
    now: Callable[[], datetime],
) -> Dataflow:
    """Wire the steps, with `now` as the lane's clock.

    The step ids are keys of recovery state and are pinned by a test.
    """
    flow = Dataflow("enrich")
    records = op.input("read", flow, source)
    decoded = op.map_value("decode", records, decoder(settings.shards))
    marked = op.stateful_batch("dedupe", decoded, ring(settings.dedupe_window, now))
    enriched = op.map_value("enrich", marked, enrich)
    op.output("append", enriched, sink)
    return flow


def flow() -> Dataflow:
    """What `python -m bytewax.run dataflows.enrich` runs: this lane, against the servers of the settings."""
    lane: Lane = open_lane()
    return build(lane.source, lane.sink, lane.settings, lane.now)
