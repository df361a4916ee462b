"""A channel's ring and what waits in it for the broadcast."""

import pytest

from gateway.channel import Channel, Channels, Member

GENERATION = 7


def a_channel(keeps: int = 5, upto: int = 0) -> Channel:
    channel = Channel("m", 0, GENERATION, keeps)
    for seq in range(1, upto + 1):
        assert channel.take(seq, b"%d" % seq)
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
    assert a_channel(keeps=5, upto=12).after(after) == expected


def test_a_channel_that_took_nothing_knows_nothing() -> None:
    """Not even that there is nothing: an image says where the match is."""
    assert a_channel().after(0) is None
    assert list(a_channel().batches(10)) == []


def test_a_channel_begins_with_the_first_event_that_comes() -> None:
    channel = a_channel()
    assert channel.take(41, b"41")
    assert (channel.seq, channel.after(40), channel.after(39)) == (41, [b"41"], None)


def test_repeats_are_dropped_and_a_gap_is_refused() -> None:
    channel = a_channel(upto=3)
    assert channel.take(2, b"again")
    assert not channel.take(5, b"5")
    assert (channel.seq, channel.after(0)) == (3, [b"1", b"2", b"3"])


def test_batches_hold_each_event_once_whatever_the_ring_forgot() -> None:
    channel = a_channel(keeps=2, upto=5)
    batches = list(channel.batches(2))
    assert [(batch.prev, batch.payloads, batch.last) for batch in batches] == [
        (0, [b"1", b"2"], 2),
        (2, [b"3", b"4"], 4),
        (4, [b"5"], 5),
    ]
    assert list(channel.batches(2)) == []
    channel.take(6, b"6")
    assert [batch.prev for batch in channel.batches(2)] == [5]


def test_a_restart_forgets_events_and_asks_an_image_for_every_member() -> None:
    channel = a_channel(upto=3)
    member = channel.members["fan"] = Member("fan", GENERATION, 3)
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
    channel.members["fan"] = Member("fan", GENERATION, 0)
    channels.close_if_idle(channel)
    assert channels.get("m") is channel
    del channel.members["fan"]
    channels.close_if_idle(channel)
    assert channels.get("m") is None


def test_a_member_who_joined_again_is_another_member() -> None:
    channel = a_channel()
    first = channel.members["fan"] = Member("fan", GENERATION, 0)
    channel.members["fan"] = Member("fan", GENERATION, 5)
    assert not channel.has(first)
