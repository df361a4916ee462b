"""Each place of a log has one event in each generation, whoever was shown it."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
from redis import Redis

from recovery.audit.servers import opened
from schemas.outlets import LIVE_EVENTS, live_place
from schemas.pack import PackError, unpack
from settings import Settings
from tests.torture.fans import LastingFan
from tests.torture.witness import Written


class Shown(NamedTuple):
    """An event at its place, as somebody has it."""

    match: str
    generation: int
    seq: int
    event_id: str


class _Numbered(msgspec.Struct):
    """What of a live event says which one it is, and where."""

    event_id: str
    seq: int
    event: "_Told"


class _Told(msgspec.Struct):
    match: str


_decode = msgspec.json.Decoder(_Numbered).decode


class Places:
    """What was shown at each place, and to whom."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, int, int], dict[str, str]] = {}  # place -> event id -> who had it first

    def note(self, who: str, shown: Iterable[Shown]) -> None:
        for match, generation, seq, event_id in shown:
            self._ids.setdefault((match, generation, seq), {}).setdefault(event_id, who)

    def with_two_events(self) -> Iterator[str]:
        for (match, generation, seq), ids in sorted(self._ids.items()):
            if len(ids) > 1:
                said = " and ".join(f"{event_id} ({who})" for event_id, who in ids.items())
                yield f"{match}, seq {seq} of generation {generation}: {said}"


def of_fan(fan: LastingFan) -> Iterator[Shown]:
    for match, lives in fan.lives.items():
        for life in lives:
            for seq, event_id in life.events:
                yield Shown(match, life.generation, seq, event_id)


def of_log(written: Written) -> Iterator[Shown]:
    for (match, generation), seqs in written.items():
        for seq, ids in seqs.items():
            for event_id in ids:
                yield Shown(match, generation, seq, event_id)


def of_live_events(settings: Settings) -> Iterator[Shown]:
    """All that Kafka still has of `live-events`, of every generation; raise CannotRunError."""
    with opened(settings) as servers:
        (cut,) = servers.kafka.cut([LIVE_EVENTS])
        for partition, (first, end) in cut.ranges.items():
            for batch in servers.kafka.outlet_records(cut.name, partition, first, end):
                for record in batch:
                    place = live_place(record.headers)
                    if place is not None and record.value is not None:
                        yield _shown(record.value, place.generation)


def of_streams(settings: Settings) -> Iterator[Shown]:
    """All that Redis still has, of every generation; damaged entries are the audit's."""
    with Redis.from_url(settings.redis, socket_timeout=10) as server:
        for name in server.scan_iter("ev:*"):
            generation = int(name.rpartition(b":")[2])
            for _, fields in server.xrange(name):
                try:
                    payloads = unpack(fields[b"e"])
                except PackError:
                    continue
                for payload in payloads:
                    yield _shown(payload, generation)


def _shown(payload: bytes, generation: int) -> Shown:
    live = _decode(payload)
    return Shown(live.event.match, generation, live.seq, live.event_id)
