"""Whose event a payload is and which: all that the gateway reads of a live event. Pure."""

from typing import NamedTuple

import msgspec

from storage.stream_reads import Pack


class Arrival(NamedTuple):
    """An event on its way to a channel; the payload goes on as it is."""

    match: str
    seq: int
    payload: bytes


class _Whose(msgspec.Struct):
    match: str


class _Place(msgspec.Struct):
    seq: int
    event: _Whose


_place_of = msgspec.json.Decoder(_Place).decode


def arrivals(pack: Pack) -> list[Arrival]:
    """The events of a pack; raise msgspec.DecodeError when it is damaged."""
    if not pack.is_whole:
        raise msgspec.DecodeError(f"{len(pack.payloads)} events at {pack.first} to {pack.last}")
    found = []
    for payload in pack.payloads:
        place = _place_of(payload)
        found.append(Arrival(place.event.match, place.seq, payload))
    return found
