"""A failover takes the end of a log, and another grows under the same generation: no reader mixes them."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest
from msgspec.structs import replace
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from redis import Redis

from settings import Settings
from storage.reading import LogReader
from tests.event_builders import MATCH, passes
from tests.fan import Fan
from tests.fixtures.postgres_pair import PostgresPair
from tests.fixtures.relays import StartRelay
from tests.fixtures.services import Service, StartService
from tests.fixtures.waiting import eventually
from tests.grown_log import GrownLog, live_events_hold, live_events_lack, streams_hold
from tests.live_log import LiveLog

pytestmark = pytest.mark.integration

SOON = timedelta(seconds=60)


@pytest.fixture
def log(installation: Settings) -> Iterator[LiveLog]:
    with LiveLog(installation) as growing:
        yield growing


@pytest.fixture
def gateway(log: LiveLog, start_service: StartService) -> Service:
    return start_service("gateway", log.settings)


@pytest.fixture
def grown(installation: Settings) -> Iterator[GrownLog]:
    with GrownLog(installation) as growing:
        yield growing


def has_lost(log: LiveLog, streams: str) -> None:
    """A failover takes events 19 and 20, and others come in their place, under the same generation."""
    log.lose_after(MATCH, 18)
    if streams == "streams emptied":
        log.flush_streams()
    log.append(passes(3, 1_000))
    if streams == "streams emptied":
        log.publish()


STREAMS = pytest.mark.parametrize("streams", ["streams keep the lost end", "streams emptied"])


@STREAMS
def test_history_that_a_failover_took_is_replaced_by_an_image(
    log: LiveLog, gateway: Service, streams: str
) -> None:
    """Never old 19 and 20 and then new 21: no relay and no writer need say so with a new generation."""
    log.say(passes(20))

    async def watch() -> None:
        async with Fan(gateway.url) as fan:
            await fan.join(MATCH, (log.generation, 17))
            await fan.has(MATCH, 20)
            has_lost(log, streams)
            await fan.until(lambda: bool(fan.named("resync")))
            told = fan.named("resync")[0]
            assert "history" in told["reason"]
            assert (told["generation"], told["image"]["seq"]) == (log.generation, told["seq"])
            log.append(passes(2, 2_000))
            await fan.has(MATCH, 23)
            assert fan.chains[MATCH] == log.chain(MATCH)
            assert len(fan.named("resync")) == 1

    asyncio.run(watch())


def test_a_log_that_ends_before_what_was_shown_is_seen_while_nothing_comes(
    log: LiveLog, gateway: Service
) -> None:
    """The streams are gone as well, so the head below is all there is to see."""
    log.say(passes(20))

    async def watch() -> None:
        async with Fan(gateway.url) as fan:
            assert (await fan.join(MATCH))["seq"] == 20
            log.lose_after(MATCH, 18)
            log.flush_streams()
            await fan.until(lambda: bool(fan.named("resync")))
            assert fan.named("resync")[0]["seq"] == 18
            log.say(passes(4, 1_000))
            await fan.has(MATCH, 22)
            assert fan.chains[MATCH] == log.chain(MATCH)

    asyncio.run(watch())


@STREAMS
def test_a_fan_who_comes_back_with_lost_history_gets_an_image(
    log: LiveLog, gateway: Service, start_service: StartService, streams: str
) -> None:
    """To the same gateway, and to one that never saw what was lost."""
    chain = log.say(passes(20))[-1].chain.hex()

    async def watch() -> None:
        async with Fan(gateway.url) as fan:
            assert (await fan.join(MATCH, (log.generation, 20), chain))["resumed"]
            has_lost(log, streams)
            await fan.until(lambda: bool(fan.named("resync")))
        for url in (gateway.url, start_service("gateway", log.settings).url):
            async with Fan(url) as fan:
                answer = await fan.join(MATCH, (log.generation, 20), chain)
                assert "history" in answer["resync"]
                assert (answer["seq"], answer["chain"]) == (21, log.chain(MATCH))
                page = await fan.ask(
                    "backfill",
                    {"match": MATCH, "generation": log.generation, "after_seq": 20, "chain": chain},
                )
                assert "history" in page["resync"]
                common = log.chain(MATCH, 18)
                assert (await fan.join(MATCH, (log.generation, 18), common))["resumed"]
                await fan.has(MATCH, 21)
                assert fan.chains[MATCH] == log.chain(MATCH)

    asyncio.run(watch())


@pytest.mark.parametrize(
    ("targets", "redis_too", "is_up"),
    [
        pytest.param("streams,live-events", False, True, id="streams keep the lost end"),
        pytest.param("streams,live-events", True, True, id="streams emptied"),
        pytest.param("live-events", False, True, id="nobody fills streams"),
        pytest.param("streams,live-events", True, False, id="streams emptied, relay down"),
        pytest.param("live-events", False, False, id="nobody fills streams, relay down"),
    ],
)
def test_nothing_of_the_log_is_missing_in_kafka_after_a_failover_took_its_end(
    installation: Settings,
    grown: GrownLog,
    start_relay: StartRelay,
    redis_too: bool,
    is_up: bool,
    targets: str,
) -> None:
    """Lost and grown again under the same generation: the record in Kafka is of a log that is gone.

    Whoever looks begins a new generation, so that readers do not take the one
    for the continuation of the other. However long the relay was away: what
    lies between the fork and what a new stream would get is sent too.
    """
    settings = replace(installation, deliver_to=targets, stream_retention=10)
    relay = start_relay(settings)
    for count in (1, 19):  # the first one says that the relay follows, and no retention counts any more
        grown.grow(0, count)
        eventually(lambda: live_events_lack(installation, grown) == [], SOON)
    before = grown.generation(0)
    if not is_up:
        relay.kill()
    grown.lose_after(0, 18)
    if redis_too:
        with Redis.from_url(installation.redis) as redis:
            redis.flushdb()
    grown.grow(0, 60)
    if not is_up:
        start_relay(settings)
    eventually(lambda: live_events_lack(installation, grown) == [], SOON)
    assert live_events_hold(installation, grown, exactly_once=False)
    assert grown.generation(0) > before


def test_a_failover_that_took_only_the_generation_begins_one_above_it(
    installation: Settings, grown: GrownLog, start_relay: StartRelay
) -> None:
    """Readers have seen the higher number, and would wait for it for ever."""

    def is_delivered() -> bool:
        return streams_hold(installation, grown) and live_events_lack(installation, grown) == []

    grown.grow(0, 20)
    relay = start_relay(installation)
    eventually(is_delivered, SOON)
    relay.kill()
    seen = grown.generation(0)
    grown.lose_generation(0)
    grown.grow(0, 5)
    start_relay(installation)
    eventually(lambda: grown.generation(0) > seen, SOON)
    eventually(is_delivered, SOON)


def test_readers_ask_the_primary_wherever_it_stands_among_the_hosts(postgres_pair: PostgresPair) -> None:
    """A standby that is behind lacks what a reader got from a stream: each look would resync all fans."""
    said = conninfo_to_dict(postgres_pair.settings.postgres)
    ports = ",".join(reversed(str(said["port"]).split(",")))
    dsn = make_conninfo(postgres_pair.settings.postgres, port=ports)

    async def asked() -> bool:
        async with LogReader(dsn, "a reader") as reader:
            return bool((await reader.rows("SELECT pg_is_in_recovery()", {}))[0][0])

    assert asyncio.run(asked()) is False
