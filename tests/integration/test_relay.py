"""The relay as a process of its own, beside real servers: whatever happens, its targets become the log."""

import random
import signal
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from msgspec.structs import replace
from redis import Redis

from settings import Settings
from sinks.live_streams import LivePublisher
from storage.streams import PackToAppend, StreamName, Streams, StreamTop, stream_name
from tests.fixtures.relays import StartRelay
from tests.fixtures.waiting import eventually
from tests.grown_log import (
    GrownLog,
    copied,
    live_events_hold,
    streamed,
    streams_hold,
)

pytestmark = pytest.mark.integration

SOON = timedelta(seconds=60)
NOWHERE = "127.0.0.1:1"  # nobody listens there: refused at once


def is_delivered(settings: Settings, log: GrownLog, *, exactly_once: bool = False) -> Callable[[], bool]:
    """Whether Redis and Kafka hold the log."""

    def check() -> bool:
        return streams_hold(settings, log) and live_events_hold(settings, log, exactly_once=exactly_once)

    return check


def test_targets_become_the_log_and_stay_so(
    installation: Settings, log: GrownLog, start_relay: StartRelay
) -> None:
    """From nothing, and again and again while nobody writes through; Kafka gets each row once."""
    log.grow(0, 1_300)
    start_relay(installation)
    eventually(is_delivered(installation, log, exactly_once=True), SOON)
    for count in (1, 7, 400):
        log.grow(0, count)
        log.grow(1, count)
        eventually(is_delivered(installation, log, exactly_once=True), SOON)


def test_a_killed_relay_goes_on_where_its_targets_end(
    installation: Settings, log: GrownLog, start_relay: StartRelay
) -> None:
    """What Kafka has already is not sent again: its last record says where to go on."""
    log.grow(0, 300)
    first = start_relay(installation)
    eventually(is_delivered(installation, log), SOON)
    first.kill()
    log.grow(0, 200)
    log.grow(1, 50)
    start_relay(installation)
    eventually(is_delivered(installation, log, exactly_once=True), SOON)


def test_an_emptied_redis_heals(installation: Settings, log: GrownLog, start_relay: StartRelay) -> None:
    """Scripts gone, streams gone, while write-through goes on and is refused."""
    publisher = LivePublisher(installation.redis, 10_000)
    start_relay(installation)
    publisher.offer([log.grow(0, 500), log.grow(1, 3)])
    eventually(is_delivered(installation, log), SOON)
    with Redis.from_url(installation.redis) as redis:
        redis.script_flush()
        redis.flushdb()
    publisher.offer([log.grow(0, 5)])
    eventually(is_delivered(installation, log), SOON)
    publisher.close(timedelta(seconds=5))


def _has_published(publisher: LivePublisher, rows: int) -> bool:
    return publisher.stats.published == rows


def test_a_stream_that_somebody_trimmed_becomes_whole_again(
    installation: Settings, log: GrownLog, start_relay: StartRelay
) -> None:
    """Its end is right, so only a look at where it begins tells."""
    publisher = LivePublisher(installation.redis, 10_000)
    for runs in range(1, 6):
        publisher.offer([log.grow(0, 10)])
        eventually(partial(_has_published, publisher, 10 * runs))
    start_relay(installation)
    eventually(lambda: streams_hold(installation, log), SOON)
    with Redis.from_url(installation.redis) as redis:
        assert redis.xtrim(stream_name(0, log.generation(0)), maxlen=1, approximate=False) > 0
    eventually(lambda: streams_hold(installation, log), SOON)
    publisher.offer([log.grow(0, 10)])
    eventually(lambda: streams_hold(installation, log), SOON)
    publisher.close(timedelta(seconds=5))


def test_write_through_takes_over_again_after_a_repair(
    installation: Settings, log: GrownLog, start_relay: StartRelay
) -> None:
    """A crash leaves a hole behind, and every later append is refused until the relay fills it."""
    publisher = LivePublisher(installation.redis, 10_000)
    publisher.offer([log.grow(0, 10)])
    log.grow(0, 5)  # committed, and the committer died before it could publish
    publisher.offer([log.grow(0, 10)])
    eventually(lambda: publisher.stats.refused == 10)
    start_relay(installation)
    eventually(is_delivered(installation, log), SOON)

    def takes_over() -> bool:
        """The relay may be faster with one run, but not with every one."""
        before = publisher.stats
        publisher.offer([log.grow(0, 10)])
        eventually(lambda: sum(publisher.stats) == sum(before) + 10)
        return publisher.stats.published > before.published

    eventually(takes_over, SOON)
    eventually(lambda: streams_hold(installation, log), SOON)
    publisher.close(timedelta(seconds=5))


def test_two_relays_and_a_writer_are_killed_and_stopped_and_nothing_is_lost_or_twice(
    installation: Settings, log: GrownLog, start_relay: StartRelay
) -> None:
    """Two relays are as good as one, whoever is killed or wakes up long after."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    publisher = LivePublisher(installation.redis, 500)
    relays = [start_relay(installation), start_relay(installation)]
    for step in range(120):
        run = log.grow(chance.randrange(2), chance.randint(1, 60))
        if chance.random() < 0.85:
            publisher.offer([run])
        if step % 12 == 6:
            relays.pop(0).kill()
            relays.append(start_relay(installation))
        if step % 12 == 9:
            relays[0].signal(signal.SIGSTOP)
        if step % 12 == 11:
            relays[0].signal(signal.SIGCONT)
    for relay in relays:
        relay.signal(signal.SIGCONT)
    publisher.close(timedelta(seconds=5))
    eventually(is_delivered(installation, log), SOON)


def test_a_stream_ahead_of_the_log_begins_a_new_life(
    installation: Settings, log: GrownLog, start_relay: StartRelay
) -> None:
    """The database lost what fans have seen: the old stream stays as it is, a new one holds what is true now.

    Raised once, whoever sees it, and above every stream that there is.
    """
    start_relay(installation)
    start_relay(installation)
    log.grow(0, 40)
    eventually(is_delivered(installation, log), SOON)
    before, other = log.generation(0), log.generation(1)
    _put_stream(installation, StreamName(0, before + 10**12))  # of a life that this database forgot
    log.lose_after(0, 30)
    after = eventually(lambda: log.generation(0) if log.generation(0) != before else None, SOON)
    log.grow(0, 15)
    eventually(is_delivered(installation, log), SOON)
    assert after == log.generation(0) == before + 10**12 + 1
    assert log.generation(1) == other
    assert len(streamed(installation, 0, before)) == 40


def test_another_history_at_the_same_position_begins_a_new_life(
    installation: Settings, log: GrownLog, start_relay: StartRelay
) -> None:
    """Lost and grown again beyond the stream's end before anyone looked: only the chain tells."""
    log.grow(0, 40)
    relay = start_relay(installation)
    eventually(is_delivered(installation, log), SOON)
    relay.kill()
    before = log.generation(0)
    log.lose_after(0, 30)
    log.grow(0, 30)
    start_relay(installation)
    eventually(lambda: streams_hold(installation, log), SOON)
    assert log.generation(0) > before


def test_a_stream_begins_with_what_is_kept_and_is_trimmed_to_it(
    installation: Settings, log: GrownLog, start_relay: StartRelay
) -> None:
    """A new stream begins after the log's base, or where it would be trimmed anyway."""
    kept = replace(installation, stream_retention=100)
    log.grow(0, 80)
    log.grow(0, 90)
    log.drop_until(0, 50)
    log.grow(1, 60)
    log.drop_until(1, 50)
    start_relay(kept)
    eventually(lambda: streams_hold(kept, log, begin={0: 71, 1: 51}), SOON)
    publisher = LivePublisher(installation.redis, 10_000)
    for _ in range(60):
        publisher.offer([log.grow(0, 10)])

    def is_trimmed() -> bool:
        held = streamed(kept, 0, log.generation(0))
        head = log.head(0)
        assert max(held, default=0) == head
        return head - 100 < head - len(held) + 1 <= head - 99 or 100 <= len(held) < 200

    eventually(is_trimmed, SOON)
    publisher.close(timedelta(seconds=5))


def test_dead_letters_are_copied_in_order_once(
    installation: Settings, log: GrownLog, start_relay: StartRelay
) -> None:
    """Byte for byte, to the partition they came from; after a restart behind the last copy."""

    def copies() -> list[tuple[int, bytes, bytes]]:
        found = copied(installation, "social-events-dlq")
        return sorted((c.partition, c.headers["origin"], c.value) for c in found)

    originals = [b"{", b"\xff\x00", b"x" * 70_000]
    for offset, original in enumerate(originals):
        log.reject("social-events", 1, offset, original)
    log.reject("social-events", 0, 7, b"[")
    first = start_relay(installation)
    expected = [(0, b"social-events/0/7", b"[")] + [
        (1, b"social-events/1/%d" % offset, original) for offset, original in enumerate(originals)
    ]
    eventually(lambda: copies() == expected, SOON)
    first.kill()
    log.reject("social-events", 1, 9, b"last")
    log.reject("broadcast-events", 1, 9, b"other")
    start_relay(installation)
    expected.append((1, b"social-events/1/9", b"last"))
    eventually(lambda: copies() == expected, SOON)
    eventually(lambda: [c.value for c in copied(installation, "broadcast-events-dlq")] == [b"other"], SOON)
    in_order = [int(c.headers["letter"]) for c in copied(installation, "social-events-dlq") if c.partition]
    assert in_order == sorted(in_order)


@pytest.mark.parametrize("is_up", [False, True], ids=["relay down", "relay up"])
def test_letters_of_a_restored_database_are_copied_though_their_numbers_were_there_before(
    installation: Settings, log: GrownLog, start_relay: StartRelay, is_up: bool
) -> None:
    """A number alone proves nothing: the last copy must be a letter of this table, at every look."""
    for offset in range(3):
        log.reject("social-events", 1, offset, b"before")
    relay = start_relay(installation)
    eventually(lambda: len(copied(installation, "social-events-dlq")) == 3, SOON)
    if not is_up:
        relay.kill()
    log.restore_letters()
    for offset, original in ((2, b"before"), (77, b"after"), (78, b"last")):
        log.reject("social-events", 1, offset, original)
    if not is_up:
        start_relay(installation)
    eventually(lambda: [c.value for c in copied(installation, "social-events-dlq")][-1] == b"last", SOON)
    copies = [(int(c.headers["letter"]), c.value) for c in copied(installation, "social-events-dlq")]
    assert copies == [(n, b"before") for n in (1, 2, 3)] + [(1, b"before"), (2, b"after"), (3, b"last")]


def test_a_dead_redis_delays_only_live_delivery(
    installation: Settings, log: GrownLog, start_relay: StartRelay
) -> None:
    log.grow(0, 100)
    relay = start_relay(replace(installation, redis=f"redis://{NOWHERE}/0"))

    def kafka_has_all() -> bool:
        return live_events_hold(installation, log, exactly_once=True)

    eventually(kafka_has_all, SOON)
    log.grow(1, 100)
    eventually(kafka_has_all, SOON)
    assert relay.said().count("neighbour.lost") == 1


def test_a_dead_kafka_delays_nothing_but_itself(
    installation: Settings, log: GrownLog, start_relay: StartRelay
) -> None:
    log.grow(0, 100)
    start_relay(replace(installation, kafka=NOWHERE))
    eventually(lambda: streams_hold(installation, log), SOON)
    log.grow(1, 100)
    eventually(lambda: streams_hold(installation, log), SOON)


def _put_stream(settings: Settings, name: StreamName) -> None:
    streams = Streams(settings.redis)
    streams.append(
        [
            PackToAppend(
                stream_name(*name),
                StreamTop(0, bytes(16)),
                StreamTop(1, b"x" * 16),
                b"\0\0\0\1x",
                bytes(16) + b"x" * 16,
            )
        ]
    )
    streams.close()
