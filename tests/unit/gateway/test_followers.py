"""When the log is read instead of a stream: at once behind a hole, and where a stream stays behind."""

from gateway.channel import Channel, Channels
from gateway.followers import Followers
from storage.log_reads import ShardHead
from storage.stream_reads import Pack

SHARD, LIFE = 0, 1


def a_head(position: int) -> ShardHead:
    return ShardHead(SHARD, LIFE, position)


def a_pack(first: int, last: int) -> Pack:
    payload = b'{"event":{"match":"m"},"seq":%d}'
    return Pack(SHARD, LIFE, first, last, [payload % position for position in range(first, last + 1)])


def followers_from(position: int) -> Followers:
    def restart(channel: Channel, reason: str) -> None: ...

    followers = Followers(Channels(10), restart)
    followers.see_heads([a_head(position)], 0.0)
    return followers


def test_a_hole_is_read_from_the_log_at_once() -> None:
    followers = followers_from(0)
    followers.take_pack(a_pack(6, 7))
    assert followers.for_log == {SHARD: a_head(0)}
    assert not followers.for_streams


def test_a_damaged_pack_is_read_from_the_log_at_once() -> None:
    followers = followers_from(0)
    followers.take_pack(Pack(SHARD, LIFE, 1, 2, [b"{", b"{"]))
    assert followers.for_log == {SHARD: a_head(0)}
    assert not followers.for_streams


def test_a_stream_that_stays_behind_is_helped_by_the_log_until_it_brings_something() -> None:
    followers = followers_from(0)
    followers.see_heads([a_head(2)], 10.0)
    followers.see_heads([a_head(2)], 11.9)
    assert not followers.for_log
    followers.see_heads([a_head(2)], 12.0)
    assert followers.for_log == followers.for_streams == {SHARD: a_head(0)}
    followers.take_pack(a_pack(1, 2))
    assert not followers.for_log
    assert followers.for_streams == {SHARD: a_head(2)}
