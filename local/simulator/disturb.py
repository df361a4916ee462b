"""What happens to records on their way: repeats, disorder, damage. Pure."""

import random
from collections.abc import Iterator
from datetime import timedelta
from heapq import heappop, heappush
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from local.simulator.ledger_entries import Conflict, Malformed, Record, Refused, Sent
from local.simulator.malformed import spoil
from local.simulator.occasion import Rates
from local.simulator.play import Said
from schemas.raw import BroadcastBody, RawEvent, SensorBody, SocialBody, source_of

Upstream = Literal["sensors", "broadcast", "social"]

_HELD_BACK_AT_MOST = 2.0  # seconds, and never more than this share of the playing time:
_HELD_BACK_SHARE = 0.05
_EARLY_STAMP_MINUTES = (2.0, 45.0)  # how far the stamp of a late record lies back
_COPIES_AT_MOST = 3

_encode = msgspec.json.Encoder().encode


class Send(NamedTuple):
    """Bytes that an upstream sends at an offset, and what the ledger says once they are taken."""

    at: float
    upstream: Upstream
    payload: bytes
    entry: Sent


def disturb(draw: random.Random, said: Iterator[Said], rates: Rates, until: float) -> Iterator[Send]:
    """Everything that is sent, in order of time, none after `until`."""
    channel = _Channel(draw, rates, until)
    for each in said:
        yield from channel.due(each.offset)
        channel.take(each)
    yield from channel.due(until)


class _Channel:
    def __init__(self, draw: random.Random, rates: Rates, until: float) -> None:
        self._draw = draw
        self._rates = rates
        self._until = until
        self._held_back = min(_HELD_BACK_AT_MOST, until * _HELD_BACK_SHARE)
        self._waiting: list[tuple[float, int, Send]] = []
        self._pushed = 0
        self._spoiled = 0

    def due(self, offset: float) -> Iterator[Send]:
        while self._waiting and self._waiting[0][0] <= offset:
            yield heappop(self._waiting)[2]

    def take(self, said: Said) -> None:
        draw, rates, record = self._draw, self._rates, said.record
        if said.moment is None and draw.random() < rates.late:
            record = self._stamped_early(record)
        upstream = _upstream_of(record)
        payload = _encode(record)
        at = self._first_time(said)
        entry = Record(record.match, upstream, record.source_event_id, record.revision)
        self._send(at, upstream, payload, entry)
        if draw.random() < rates.duplicates:
            for _ in range(draw.randrange(1, _COPIES_AT_MOST + 1)):
                self._send(at + self._delay(), upstream, payload, entry)
        # Only of what does not count: whichever body wins, the score is known.
        if said.moment is None and draw.random() < rates.conflicting:
            conflict = Conflict(record.match, upstream, record.source_event_id, record.revision)
            self._send(at + self._delay(), upstream, _encode(_contradicted(record)), conflict)
        if draw.random() < rates.malformed:
            self._send_spoiled(said.offset, record)

    def _first_time(self, said: Said) -> float:
        if self._draw.random() >= self._rates.disorder:
            return said.offset
        corrected_at = said.moment.corrected_at if said.moment else None
        # The correction overtakes what it corrects.
        return self._delay() + (said.offset if corrected_at is None else corrected_at)

    def _send_spoiled(self, at: float, record: RawEvent) -> None:
        upstream = _upstream_of(record)
        self._spoiled += 1
        payload = spoil(self._draw, record, f"{record.match}/{self._spoiled}", as_text=upstream == "social")
        # A push is told, a feed is not.
        entry = Refused(upstream, "", payload) if upstream == "sensors" else Malformed(upstream, payload)
        self._send(at, upstream, payload, entry)

    def _send(self, at: float, upstream: Upstream, payload: bytes, entry: Sent) -> None:
        at = min(at, self._until)
        self._pushed += 1  # keeps the order of those that are due together
        heappush(self._waiting, (at, self._pushed, Send(at, upstream, payload, entry)))

    def _delay(self) -> float:
        return self._draw.uniform(0.05, 1.0) * self._held_back

    def _stamped_early(self, record: RawEvent) -> RawEvent:
        early = timedelta(milliseconds=round(self._draw.uniform(*_EARLY_STAMP_MINUTES) * 60_000))
        return replace(record, occurred_at=record.occurred_at - early)


def _contradicted(record: RawEvent) -> RawEvent:
    """The same identity with another body."""
    body = record.body
    if isinstance(body, SensorBody):
        return replace(record, body=replace(body, value=-1.0))
    if isinstance(body, SocialBody):
        return replace(record, body=replace(body, text=f"{body.text} (edited)"))
    assert isinstance(body, BroadcastBody)
    return replace(record, body=replace(body, outcome="disputed"))


def _upstream_of(record: RawEvent) -> Upstream:
    source = source_of(record)
    if source == "sensors":
        return "sensors"
    return "broadcast" if source == "broadcast" else "social"
