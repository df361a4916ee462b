"""When the log is read instead of a stream, and when what was shown is history no more."""

from gateway.channel import Channel, Channels
from gateway.followers import LOG_SKIPPED, NEW_GENERATION, OTHER_HISTORY, Cursor, Followers
from schemas.log_position import LogPosition
from storage.log_reads import LogRow, ShardSnapshot
from storage.stream_reads import Pack

SHARD, GENERATION = 0, 1
PAYLOAD = b'{"event":{"match":"m"},"seq":%d}'


def a_chain(position: int, history: bytes = b"h") -> bytes:
    """Chains of two histories differ behind the position at which they part, which is 5."""
    return (history if position > 5 else b"h") + position.to_bytes(15, "big")


def a_place(position: int, history: bytes = b"h", generation: int = GENERATION) -> LogPosition:
    return LogPosition(generation, position, a_chain(position, history))


def a_head(
    position: int, history: bytes = b"h", *, holds: bool = True, base: int = 0, generation: int = GENERATION
) -> ShardSnapshot:
    return ShardSnapshot(SHARD, a_place(position, history, generation), base, holds)


def a_pack(first: int, last: int, history: bytes = b"h") -> Pack:
    payloads = [PAYLOAD % position for position in range(first, last + 1)]
    chains = b"".join(a_chain(position, history) for position in range(first - 1, last + 1))
    return Pack(SHARD, GENERATION, first, last, payloads, chains)


def rows(first: int, last: int, history: bytes = b"h") -> list[LogRow]:
    return [LogRow(SHARD, at, a_chain(at, history), "m", at, PAYLOAD % at) for at in range(first, last + 1)]


class Watched:
    """Followers of one shard, with an open channel whose restarts are noted."""

    def __init__(self, position: int) -> None:
        self.reasons: list[str] = []
        channels = Channels(10)
        self.channel = channels.open("m", SHARD, GENERATION)
        self.followers = Followers(channels, self._restart)
        self.followers.see_heads({}, [a_head(position)], 0.0)
        self.reasons.clear()

    def _restart(self, _channel: Channel, reason: str) -> None:
        self.reasons.append(reason)

    @property
    def place(self) -> LogPosition | None:
        return self.followers.place_of(SHARD)

    def hear_head(self, head: ShardSnapshot, now: float = 0.0) -> None:
        self.followers.see_heads(self.followers.cursors, [head], now)

    def log_is_wanted_from(self) -> LogPosition | None:
        cursor = self.followers.for_log.get(SHARD)
        return cursor and cursor.place


def test_a_gap_is_read_from_the_log_at_once() -> None:
    watched = Watched(0)
    watched.followers.take_pack(a_pack(6, 7))
    assert watched.log_is_wanted_from() == a_place(0)
    assert not watched.followers.for_streams


def test_a_damaged_pack_is_read_from_the_log_at_once() -> None:
    for damaged in (
        a_pack(1, 2)._replace(payloads=[b"{", b"{"]),
        a_pack(1, 2)._replace(chains=a_pack(1, 2).chains[:-1]),
    ):
        watched = Watched(0)
        watched.followers.take_pack(damaged)
        assert watched.log_is_wanted_from() == a_place(0)
        assert not watched.followers.for_streams


def test_a_pack_of_the_release_before_is_read_from_the_log() -> None:
    """It has no chains, so nothing says what it continues."""
    watched = Watched(0)
    watched.followers.take_pack(a_pack(1, 2)._replace(chains=b""))
    assert watched.log_is_wanted_from() == a_place(0)
    assert watched.channel.seq is None


def test_a_stream_that_stays_behind_is_helped_by_the_log_until_it_brings_something() -> None:
    watched = Watched(0)
    watched.hear_head(a_head(2), 10.0)
    watched.hear_head(a_head(2), 11.9)
    assert not watched.followers.for_log
    watched.hear_head(a_head(2), 12.0)
    assert watched.log_is_wanted_from() == watched.followers.for_streams[SHARD] == a_place(0)
    watched.followers.take_pack(a_pack(1, 2))
    assert not watched.followers.for_log
    assert watched.followers.for_streams == {SHARD: a_place(2)}


def test_a_pack_of_another_history_is_not_taken_and_the_log_is_asked() -> None:
    """The stream may hold what the log lost, or the other way round: only the log can say which."""
    watched = Watched(7)
    watched.followers.take_pack(a_pack(8, 9, b"x"))
    watched.followers.take_pack(a_pack(6, 9, b"x"))
    assert watched.channel.seq is None
    assert watched.log_is_wanted_from() == watched.place == a_place(7)
    assert watched.reasons == []


def test_a_head_that_lost_the_place_brings_an_image_from_the_head() -> None:
    """Below it, or another history at it: in the same generation."""
    for head in (a_head(6, b"x", holds=False), a_head(9, b"x", holds=False)):
        watched = Watched(7)
        watched.hear_head(head)
        assert watched.reasons == [OTHER_HISTORY]
        assert watched.place == head.head


def test_a_head_that_is_older_than_a_pack_is_no_loss() -> None:
    """The question was sent at 5, the answer says 6, and a stream brought 7 meanwhile."""
    watched = Watched(5)
    asked = watched.followers.cursors
    watched.followers.take_pack(a_pack(6, 7))
    watched.followers.see_heads(asked, [a_head(6)], 0.0)
    assert (watched.reasons, watched.place) == ([], a_place(7))


def test_an_answer_to_a_question_from_before_a_restart_says_nothing() -> None:
    """Two look at once: the second answer must not bring a second image."""
    watched = Watched(7)
    asked = watched.followers.cursors
    for _ in range(2):
        watched.followers.see_heads(asked, [a_head(6, b"x", holds=False)], 0.0)
    assert watched.reasons == [OTHER_HISTORY]


def test_another_generation_is_followed_also_a_lower_one() -> None:
    """A failover may take away that the generation rose."""
    for generation in (GENERATION + 1, GENERATION - 1):
        watched = Watched(7)
        watched.hear_head(a_head(7, holds=False, generation=generation))
        assert watched.reasons == [NEW_GENERATION]
        assert watched.followers.generation_of(SHARD) == generation


def test_a_place_that_was_dropped_from_the_log_is_no_other_history() -> None:
    watched = Watched(2)
    watched.hear_head(a_head(9, holds=False, base=4))
    assert watched.reasons == [LOG_SKIPPED]


def test_rows_of_another_history_than_a_pack_that_came_meanwhile_are_not_taken() -> None:
    """Asked for at 5, where both histories still agree; the pack was of the one that the log lost."""
    watched = Watched(5)
    cursor = Cursor(a_place(5), watched.followers.cursors[SHARD].restarts)
    watched.followers.take_pack(a_pack(6, 7))
    assert watched.followers.take_rows(cursor, a_head(8, b"x"), rows(6, 8, b"x")) == 0
    assert (watched.reasons, watched.place) == ([OTHER_HISTORY], a_place(8, b"x"))


def test_what_fans_were_shown_ahead_of_the_stream_is_compared_too() -> None:
    """An image is read from the log before the stream brings its last event, and then the log loses it."""
    shown = Watched(5)
    shown.followers.show(SHARD, a_place(7))
    assert shown.followers.cursors[SHARD].place == a_place(7)
    shown.followers.take_pack(a_pack(6, 8, b"x"))
    assert shown.log_is_wanted_from() == shown.place == a_place(5)
    cursor = shown.followers.for_log[SHARD]
    shown.followers.take_rows(cursor, a_head(8, b"x"), rows(6, 8, b"x"))
    assert shown.reasons == [OTHER_HISTORY]
