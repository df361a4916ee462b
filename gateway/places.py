"""Whose event a payload is and which: all that the gateway reads of a live event. Pure."""

from typing import NamedTuple

import msgspec

from schemas.identity import CHAIN_BYTES
from storage.stream_reads import Pack


class Arrival(NamedTuple):
    """An event on its way to a channel; the payload goes on as it is."""

    match: str
    seq: int
    payload: bytes
    chain: bytes  # of the shard's log, after it


class _Whose(msgspec.Struct):
    match: str


class _Place(msgspec.Struct):
    seq: int
    event: _Whose


_place_of = msgspec.json.Decoder(_Place).decode


def arrivals(pack: Pack) -> list[Arrival]:
    """The events of a pack; raise msgspec.DecodeError when it is damaged."""
    if not pack.is_whole:
        chains = len(pack.chains) // CHAIN_BYTES
        raise msgspec.DecodeError(
            f"{len(pack.payloads)} events and {chains} chains at {pack.first} to {pack.last}"
        )
    found = []
    chain_at = pack.span.chain_at
    for position, payload in enumerate(pack.payloads, pack.first):
        place = _place_of(payload)
        found.append(Arrival(place.event.match, place.seq, payload, chain_at(position)))
    return found
