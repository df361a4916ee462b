"""A channel's ring and what waits in it for the broadcast."""

import pytest
from msgspec.structs import replace

from gateway.channel import Channel, Channels, Member, Taken
from schemas.fold import empty_image
from storage.match_reads import MatchView

GENERATION = 7


def a_chain(seq: int) -> bytes:
    return seq.to_bytes(16, "big")


def payloads(events: list[Taken] | None) -> list[bytes] | None:
    return None if events is None else [event.payload for event in events]


def a_member(channel: Channel, seq: int, chain: bytes | None = None) -> Member:
    return Member("fan", channel, GENERATION, seq, chain or a_chain(seq))


def a_channel(keeps: int = 5, upto: int = 0) -> Channel:
    channel = Channel("m", 0, GENERATION, keeps)
    for seq in range(1, upto + 1):
        assert channel.take(seq, b"%d" % seq, a_chain(seq))
    return channel


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (12, []),
        (13, []),
        (99, []),
        (11, [b"12"]),
        (7, [b"8", b"9", b"10", b"11", b"12"]),
        (6, None),
        (0, None),
    ],
)
def test_the_ring_knows_how_far_back_it_reaches(after: int, expected: list[bytes] | None) -> None:
    assert payloads(a_channel(keeps=5, upto=12).after(after)) == expected


def test_a_channel_that_took_nothing_knows_nothing() -> None:
    """Not even that there is nothing: an image says where the match is."""
    assert a_channel().after(0) is None
    assert list(a_channel().batches(10)) == []


def test_a_channel_begins_with_the_first_event_that_comes() -> None:
    channel = a_channel()
    assert channel.take(41, b"41", a_chain(41))
    assert (channel.seq, payloads(channel.after(40)), channel.after(39)) == (41, [b"41"], None)


def test_repeats_are_dropped_and_a_gap_is_refused() -> None:
    channel = a_channel(upto=3)
    assert channel.take(2, b"again", a_chain(2))
    assert not channel.take(5, b"5", a_chain(5))
    assert (channel.seq, payloads(channel.after(0))) == (3, [b"1", b"2", b"3"])


def test_batches_hold_each_event_once_whatever_the_ring_forgot() -> None:
    channel = a_channel(keeps=2, upto=5)
    batches = list(channel.batches(2))
    assert [(batch.prev, payloads(batch.events), batch.last) for batch in batches] == [
        (0, [b"1", b"2"], 2),
        (2, [b"3", b"4"], 4),
        (4, [b"5"], 5),
    ]
    assert [batch.prev_chain for batch in batches] == [a_chain(0), a_chain(2), a_chain(4)]
    assert list(channel.batches(2)) == []
    channel.take(6, b"6", a_chain(6))
    assert [batch.prev for batch in channel.batches(2)] == [5]


def test_a_restart_forgets_events_and_asks_an_image_for_every_member() -> None:
    channel = a_channel(upto=3)
    member = channel.members["fan"] = a_member(channel, 3)
    member.is_live = True
    channel.restart(GENERATION + 1)
    assert (channel.seq, channel.after(3), list(channel.batches(9))) == (None, None, [])
    assert (member.is_live, member.needs_image) == (False, True)


def test_a_channel_stays_open_while_somebody_listens_or_joins() -> None:
    channels = Channels(keeps=5)
    channel = channels.open("m", 0, GENERATION)
    assert channels.open("m", 0, GENERATION) is channel
    channel.joining += 1
    channels.close_if_idle(channel)
    assert channels.get("m") is channel
    channel.joining -= 1
    channel.members["fan"] = a_member(channel, 0)
    channels.close_if_idle(channel)
    assert channels.get("m") is channel
    del channel.members["fan"]
    channels.close_if_idle(channel)
    assert channels.get("m") is None


def test_a_member_who_joined_again_is_another_member() -> None:
    channel = a_channel()
    first = channel.members["fan"] = a_member(channel, 0)
    channel.members["fan"] = a_member(channel, 5)
    assert not channel.has(first)


@pytest.mark.parametrize(
    ("seq", "known"), [(12, True), (9, True), (7, True), (6, False), (13, False), (0, True)]
)
def test_the_ring_knows_the_chain_from_right_before_its_first_event_on(seq: int, known: bool) -> None:
    """Before a match's first event it is zero in every log."""
    assert a_channel(keeps=5, upto=12).chain_at(seq) == (a_chain(seq) if known else None)


def test_a_channel_that_begins_behind_an_image_knows_the_chain_there() -> None:
    channel = a_channel()
    channel.view = MatchView("m", GENERATION, replace(empty_image("m"), seq=40), a_chain(40), 77)
    channel.take(41, b"41", a_chain(41))
    assert channel.chain_at(40) == a_chain(40)
    (batch,) = channel.batches(9)
    assert batch.prev_chain == a_chain(40)


@pytest.mark.parametrize("seq", [3, 4, 5])
def test_a_batch_continues_only_the_history_that_a_member_has(seq: int) -> None:
    """A member whose last event is another one at the same seq must not get what follows here."""
    channel = a_channel(keeps=9, upto=3)
    list(channel.batches(9))
    for taken in (4, 5, 6):
        channel.take(taken, b"%d" % taken, a_chain(taken))
    (batch,) = channel.batches(9)
    assert batch.continues(a_member(channel, seq))
    assert not batch.continues(a_member(channel, seq, b"of another log 1"))
    assert not batch.continues(a_member(channel, 2))
