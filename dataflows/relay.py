"""The edges of the relay: its settings, and for each target a thread, a source and a sink."""

import gc
import logging
import os
import random
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from bytewax.inputs import Source
from bytewax.outputs import Sink

import settings as configuration
from dataflows.kafka_looks import LettersLooker, LiveEventsLooker
from dataflows.polling import PollingSource
from dataflows.stream_looks import Look, StreamLooker
from resilience.clock_watch import ClockSetBackError, watch_clock
from schemas.outlets import LIVE_EVENTS, dead_letter_topic
from schemas.raw import RAW_TOPICS
from settings import Settings, SettingsError
from sinks.availability import Availability
from sinks.kafka_outlet import KafkaOutlet, KafkaOutletSink
from sinks.record_fit import KafkaRecord
from sinks.serial_executor import SerialExecutor
from sinks.stream_repair import StreamRepair, StreamRepairSink, Task
from storage.relay_reads import Letter, LogRun, RelayReads
from storage.streams import Streams
from telemetry.export import export_metrics
from telemetry.log import Log, configure

_STREAMS = "deliver.streams"
_LIVE_EVENTS = "deliver.live_events"
_LETTERS = "deliver.letters"
LEFT = "relay.stopped"
_TARGETS = {"streams", "live-events", "dead-letters"}
# Where cores are short, lanes and gateways go first: they have a fan waiting, and
# the relay only when they failed. A third of their share is left to it.
_NICENESS = 5


@dataclass(frozen=True)
class Relay:
    """What `deliver.build` needs: each target as its source and its sink, None for one that is not filled."""

    settings: Settings
    streams: tuple[Source[Look], Sink[Task]] | None
    live_events: tuple[Source[LogRun], Sink[list[KafkaRecord]]] | None
    dead_letters: tuple[Source[list[Letter]], Sink[list[KafkaRecord]]] | None


def open_relay() -> Relay:
    """Read the settings and prepare the edges; servers are first asked when the flow runs."""
    configure()
    settings = configuration.load()
    export_metrics(settings, "deliver")
    targets = _targets(settings)
    _tune_interpreter()
    os.nice(_NICENESS)
    watch_clock(_now, _leave)
    return Relay(
        settings,
        _streams(settings) if "streams" in targets else None,
        _live_events(settings) if "live-events" in targets else None,
        _dead_letters(settings) if "dead-letters" in targets else None,
    )


def _targets(settings: Settings) -> set[str]:
    """The targets to fill; a drill beside a live installation fills its own streams only."""
    named = {name.strip() for name in settings.deliver_to.split(",")}
    if not named <= _TARGETS:
        raise SettingsError(
            "TOUCHLINE_DELIVER_TO",
            f"{settings.deliver_to!r}: name one or more of {', '.join(sorted(_TARGETS))}",
        )
    return named


def _tune_interpreter() -> None:
    """Settings of CPython for a few threads that wake each other, and for many short-lived rows."""
    # A thread that has an answer waits this long for the GIL; 5 ms by default.
    sys.setswitchinterval(0.001)
    # What is loaded by now stays. With the default threshold shaping records took 1.5x as long.
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)


def _streams(settings: Settings) -> tuple[Source[Look], Sink[Task]]:
    executor = SerialExecutor(_STREAMS)
    streams = Streams(settings.redis)
    log = RelayReads(settings.postgres, "touchline-deliver-streams")
    looker = StreamLooker(
        streams, log, _availability("redis", _STREAMS), _availability("postgres", _STREAMS), time.monotonic
    )
    repair = StreamRepair(streams, log, _availability("redis, appending", _STREAMS))
    return PollingSource(executor, looker, _now), StreamRepairSink(executor, repair)


def _live_events(settings: Settings) -> tuple[Source[LogRun], Sink[list[KafkaRecord]]]:
    executor = SerialExecutor(_LIVE_EVENTS)
    log = RelayReads(settings.postgres, "touchline-deliver-live-events")
    topics = [settings.topic_prefix + LIVE_EVENTS]
    outlet = KafkaOutlet(
        settings.kafka, topics, _availability("kafka, producing", _LIVE_EVENTS), time.monotonic
    )
    looker = LiveEventsLooker(
        settings,
        log,
        Streams(settings.redis),
        outlet,
        _availability("kafka", _LIVE_EVENTS),
        _availability("postgres", _LIVE_EVENTS),
        time.monotonic,
    )
    return PollingSource(executor, looker, _now), KafkaOutletSink(executor, outlet)


def _dead_letters(settings: Settings) -> tuple[Source[list[Letter]], Sink[list[KafkaRecord]]]:
    executor = SerialExecutor(_LETTERS)
    log = RelayReads(settings.postgres, "touchline-deliver-letters")
    topics = [settings.topic_prefix + dead_letter_topic(topic) for topic in RAW_TOPICS]
    outlet = KafkaOutlet(settings.kafka, topics, _availability("kafka, producing", _LETTERS), time.monotonic)
    looker = LettersLooker(
        settings, log, outlet, _availability("kafka", _LETTERS), _availability("postgres", _LETTERS)
    )
    return PollingSource(executor, looker, _now), KafkaOutletSink(executor, outlet)


def _availability(neighbour: str, part: str) -> Availability:
    return Availability(neighbour, Log(part), time.monotonic, random.random)


def _now() -> datetime:
    return datetime.now(UTC)


def _leave(error: ClockSetBackError) -> None:
    Log("deliver").error(LEFT, kind=type(error).__name__, detail=str(error))
    logging.shutdown()
    os._exit(os.EX_SOFTWARE)
