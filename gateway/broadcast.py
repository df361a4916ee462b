"""From channels to their members: each message encoded once, the same bytes for everyone."""

import asyncio
from collections.abc import Callable

from gateway import messages
from gateway.channel import Batch, Channel, Channels, Member
from gateway.messages import EVENTS_A_MESSAGE
from gateway.wire import Frame, Wire

# After so many sends others get a turn; a send queues a reference, 5 us.
_SENDS_A_TURN = 256


class Broadcaster:
    """Sends what channels took to the members who are live.

    A member whose floor lies inside a message gets the part after it; one
    whose floor lies beyond it gets nothing yet.
    """

    def __init__(self, channels: Channels, wire: Wire, on_gap: Callable[[Channel, Member], None]) -> None:
        """`on_gap` gets a member whose last event the message does not continue: it is no longer live."""
        self._channels = channels
        self._wire = wire
        self._on_gap = on_gap
        self._news = asyncio.Event()

    def wake(self) -> None:
        """There may be something to send."""
        self._news.set()

    async def run(self) -> None:
        """Send until cancelled; what it raises is a bug."""
        while True:
            await self._news.wait()
            self._news.clear()
            for channel in self._channels.touched():
                for batch in channel.batches(EVENTS_A_MESSAGE):
                    await self._send(channel, batch)

    async def _send(self, channel: Channel, batch: Batch) -> None:
        frames: dict[int, Frame] = {}  # by the floor they start after
        sends = 0
        for member in list(channel.members.values()):
            if not _is_due(channel, member, batch):
                continue
            if not batch.continues(member):
                member.is_live = False
                self._on_gap(channel, member)
                continue
            floor = member.seq
            if (frame := frames.get(floor)) is None:
                frame = frames[floor] = self._encode(channel, batch, floor)
            member.seq, member.chain = batch.last, batch.events[-1].chain
            await self._wire.send(member.client, frame)
            sends += 1
            if sends % _SENDS_A_TURN == 0:
                await asyncio.sleep(0)

    def _encode(self, channel: Channel, batch: Batch, floor: int) -> Frame:
        payloads = [event.payload for event in batch.events[floor - batch.prev :]]
        told = messages.events(channel.match, batch.generation, floor, payloads, batch.events[-1].chain)
        return self._wire.encode("events", told)


def _is_due(channel: Channel, member: Member, batch: Batch) -> bool:
    return (
        member.is_live
        and member.restarts == batch.restarts
        and member.seq < batch.last
        and channel.has(member)
    )
