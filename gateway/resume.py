"""Joining a match, continuing after a gap, and what happens when neither works: an image that says why."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import timedelta

from gateway import messages
from gateway.asks import INVALID, TOO_MANY_MATCHES, UNAVAILABLE, Backfill, Join, RefusedError, Since
from gateway.channel import Channel, Channels, Member, agree
from gateway.followers import LOG_SKIPPED, NEW_GENERATION, OTHER_HISTORY, Followers
from gateway.history import History
from gateway.messages import EVENTS_A_MESSAGE
from gateway.wire import Wire
from gateway.wire_json import Fragment
from resilience.backoff import Backoff
from schemas.partitioning import partition_of
from storage.log_reads import OtherHistoryError, Page
from storage.match_reads import MatchView
from storage.reading import LogUnavailableError
from telemetry.log import Log

AHEAD_OF_LOG = "you are ahead of the log"
TOO_FAR_BEHIND = "more was missed than an image and its tail would take"

# An image of 64 KB replaces them at a fiftieth of the bytes.
_RESUME_AT_MOST = 5_000
_MATCHES_A_CLIENT = 100
_TRIES = 3  # to read something of the history that is followed
_CHANGING = "its history keeps changing"
_FIRST_WAIT = timedelta(milliseconds=100)
_LONGEST_WAIT = timedelta(seconds=1)

_TASK_FAILED = "task.failed"
_say = Log("gateway")


class Resume:
    """Lets fans in, and brings back those who lack something.

    Delivery: each event after the floor once and in order. A fan is live only
    from the moment nothing lies between what it was sent and what the channel
    has taken; both are looked at without giving way to anything else.
    """

    def __init__(
        self,
        channels: Channels,
        followers: Followers,
        history: History,
        wire: Wire,
        refresh: Callable[[], Awaitable[None]],
        shards: int,
        chance: Callable[[], float],
    ) -> None:
        """`refresh` makes the followers look at the heads; it may raise LogUnavailableError."""
        self._channels = channels
        self._followers = followers
        self._history = history
        self._wire = wire
        self._refresh = refresh
        self._shards = shards
        self._chance = chance
        self._tasks: set[asyncio.Task[None]] = set()
        self.followed: dict[str, set[str]] = {}  # client -> its matches

    def connect(self, client: str) -> None:
        self.followed[client] = set()

    def disconnect(self, client: str) -> None:
        for match in self.followed.pop(client, set()):
            self._remove(client, match)

    async def join(self, client: str, ask: Join) -> dict[str, object]:
        """Let a fan follow a match; the answer holds its floor, events after it come by themselves."""
        followed = self.followed.get(client, set())
        if len(followed) >= _MATCHES_A_CLIENT and ask.match not in followed:
            raise RefusedError(
                TOO_MANY_MATCHES, f"match: you follow {len(followed)} matches already", "match"
            )
        with self._opened(ask.match) as channel:
            reason = None
            if ask.since is not None:
                since = ask.since
                page, reason = await self._page_since(channel, since, 1)
                if page is not None and page.head_seq - since.seq > _RESUME_AT_MOST:
                    reason = TOO_FAR_BEHIND
                if reason is None and page is not None:
                    self._admit(client, channel, since.generation, since.seq, page.chain, page.head_seq)
                    return messages.resumed(ask.match, since.generation, since.seq, page.chain)
            view = await self._view(channel)
            self._admit(client, channel, view.generation, view.seq, view.chain, owed_to=view.seq)
            return messages.image(view, reason)

    def leave(self, client: str, match: str) -> None:
        self.followed.get(client, set()).discard(match)
        self._remove(client, match)

    async def backfill(self, ask: Backfill) -> Fragment | dict[str, object]:
        """Events after a seq, or an image and the reason why not."""
        with self._opened(ask.match) as channel:
            page, reason = await self._page_since(channel, ask.since, ask.limit)
            if reason is None and page is not None:
                return messages.backfill(ask.match, page)
            return messages.image(await self._view(channel), reason)

    def resync(self, channel: Channel, reason: str) -> None:
        """Give every member that needs one an image, and why."""
        if channel.members:
            self._spawn(self._send_images(channel, reason))

    def catch_up(self, channel: Channel, member: Member) -> None:
        """Send a member what it lacks, then let it into the broadcast."""
        self._spawn(self._catch_up(channel, member))

    @contextmanager
    def _opened(self, match: str) -> Iterator[Channel]:
        """A channel that stays open meanwhile, so that its ring has what is newer than any answer."""
        shard = partition_of(match, self._shards)
        channel = self._channels.open(match, shard, self._followers.generation_of(shard))
        channel.joining += 1
        try:
            yield channel
        except LogUnavailableError as error:
            raise RefusedError(UNAVAILABLE, f"the log is out of reach ({error.detail}); try again") from error
        finally:
            channel.joining -= 1
            self._channels.close_if_idle(channel)

    def _admit(
        self,
        client: str,
        channel: Channel,
        generation: int,
        seq: int,
        chain: bytes | None,
        owed_to: int,
    ) -> None:
        if client not in self.followed:
            raise RefusedError(INVALID, "you are not connected any more")
        self.followed[client].add(channel.match)
        member = channel.members[client] = Member(client, channel, generation, seq, chain, owed_to)
        # Its first step comes after the answer to the join has been queued.
        self.catch_up(channel, member)

    def _remove(self, client: str, match: str) -> None:
        channel = self._channels.get(match)
        if channel is not None:
            channel.members.pop(client, None)
            self._channels.close_if_idle(channel)

    async def _page_since(self, channel: Channel, since: Since, limit: int) -> tuple[Page | None, str | None]:
        """The page after what a fan has, and why the fan cannot continue there; None when it can."""
        if since.generation > channel.generation:
            await self._refresh()
        if since.generation != channel.generation:
            return None, NEW_GENERATION
        chain = None if since.chain is None else bytes.fromhex(since.chain)
        page = await self._page(channel, since.seq, limit, chain)
        return page, _break(page, since.generation, since.seq, chain)

    async def _page(self, channel: Channel, seq: int, limit: int, chain: bytes | None) -> Page:
        """Events after a seq, of what the channel follows; `chain`, when it is known, is to be compared."""
        for _ in range(_TRIES):
            try:
                page = await self._history.events_after(channel, seq, limit, chain is not None)
                if page.generation == channel.generation:
                    return page
            except OtherHistoryError:
                pass
            await self._refresh()
        raise LogUnavailableError(_CHANGING)

    async def _view(self, channel: Channel) -> MatchView:
        """The image at the head, of what the channel follows."""
        for _ in range(_TRIES):
            try:
                view = await self._history.view(channel)
                if view.generation == channel.generation:
                    return view
            except OtherHistoryError:
                pass
            await self._refresh()
        raise LogUnavailableError(_CHANGING)

    async def _send_images(self, channel: Channel, reason: str) -> None:
        waits = Backoff(_FIRST_WAIT, _LONGEST_WAIT, self._chance)
        while any(member.needs_image for member in channel.members.values()):
            try:
                view = await self._view(channel)
            except LogUnavailableError:
                await asyncio.sleep(waits.next_delay().total_seconds())
                continue
            restarts = channel.restarts
            frame = self._wire.encode("resync", messages.resync(view, reason))
            for member in list(channel.members.values()):
                if channel.restarts != restarts:
                    break
                if not member.needs_image or not channel.has(member):
                    continue
                member.needs_image = False
                member.start(channel, view.generation, view.seq, view.chain)
                await self._wire.send(member.client, frame)
                self.catch_up(channel, member)

    async def _catch_up(self, channel: Channel, member: Member) -> None:
        waits = Backoff(_FIRST_WAIT, _LONGEST_WAIT, self._chance)
        while channel.has(member) and not member.needs_image:
            if member.seq >= max(channel.seq or 0, member.owed_to):
                member.is_live = True
                return
            restarts = member.restarts
            try:
                page = await self._page(channel, member.seq, EVENTS_A_MESSAGE, member.chain)
            except LogUnavailableError:
                await asyncio.sleep(waits.next_delay().total_seconds())
                continue
            is_new = member.restarts != restarts  # another task brings it on from an image
            if is_new or not channel.has(member) or member.needs_image:
                return
            reason = _break(page, member.generation, member.seq, member.chain)
            if not page.payloads or reason is not None:
                member.needs_image = True
                await self._send_images(channel, reason or LOG_SKIPPED)
                return
            told = messages.events(channel.match, page.generation, member.seq, page.payloads, page.last_chain)
            member.seq, member.chain = page.seqs[-1], page.last_chain
            if not await self._wire.send(member.client, self._wire.encode("events", told)):
                return

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _say.error(_TASK_FAILED, error=error, task=task.get_coro())


def _break(page: Page, generation: int, seq: int, chain: bytes | None) -> str | None:
    """Why a page does not continue after `seq`; None when it does."""
    if page.generation != generation:
        return NEW_GENERATION
    if seq > page.head_seq:
        return AHEAD_OF_LOG
    if not agree(page.chain, chain):
        return OTHER_HISTORY
    if page.seqs[:1] not in ([], [seq + 1]) or (not page.seqs and seq < page.head_seq):
        return LOG_SKIPPED
    return None
