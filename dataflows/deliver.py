"""Deliver what the log holds: repair the live streams, fill `live-events`, copy dead letters.

     Redis, then Postgres           Postgres                    Postgres
         look at both         rows that Kafka lacks      letters that Kafka lacks     dataflows/*_looks.py
              |  Look                  |  LogRun                   |  letters
             plan                    shape                       copy                 pure steps
              |  tasks                 |  records                  |  records
            repair                   produce                     send                 sinks/
              |                        |                           |
     Redis `ev:{shard}:<gen>`   Kafka `live-events`         Kafka `<topic>-dlq`

Delivery: effectively once into Redis, at least once into Kafka. The relay
has no state: what the targets hold says what they lack, so it may be killed
anywhere, and several are as good as one. Each branch has a thread for what
blocks; an outage of one target holds up only its own branch.

Run it with `python -m bytewax.run dataflows.deliver`.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import Sink

from dataflows.kafka_records import letter_records, live_records
from dataflows.relay import open_relay
from dataflows.stream_looks import Look
from dataflows.stream_plan import planner
from settings import Settings
from sinks.record_fit import KafkaRecord
from sinks.stream_repair import Task
from storage.relay_reads import Letter, LogRun


def build(
    settings: Settings,
    streams: tuple[Source[Look], Sink[Task]] | None,
    live_events: tuple[Source[LogRun], Sink[list[KafkaRecord]]] | None,
    dead_letters: tuple[Source[list[Letter]], Sink[list[KafkaRecord]]] | None,
) -> Dataflow:
    """Wire the branches; each is given as its source and its sink, or left out."""
    flow = Dataflow("deliver")

    if streams is not None:
        looks = op.input("look", flow, streams[0])
        tasks = op.flat_map("plan", looks, planner(settings.stream_retention))
        op.output("repair", tasks, streams[1])

    if live_events is not None:
        runs = op.input("read_log", flow, live_events[0])
        events = op.map("shape", runs, live_records(settings.topic_prefix))
        op.output("produce", events, live_events[1])

    if dead_letters is not None:
        letters = op.input("read_letters", flow, dead_letters[0])
        copies = op.map("copy", letters, letter_records(settings.topic_prefix))
        op.output("send", copies, dead_letters[1])
    return flow


def flow() -> Dataflow:
    """What `python -m bytewax.run dataflows.deliver` runs: against the servers of the settings."""
    relay = open_relay()
    return build(relay.settings, relay.streams, relay.live_events, relay.dead_letters)
