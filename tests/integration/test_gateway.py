"""The gateway process against real servers: nothing lost, nothing twice, whatever is taken away."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from schemas.identity import ZERO_CHAIN
from schemas.image import decode_image
from settings import Settings
from tests.event_builders import MATCH, a_cancel_of, a_goal, a_period_start, passes
from tests.fan import Fan
from tests.fixtures.services import Service, StartService
from tests.fixtures.waiting import eventually
from tests.live_log import LiveLog

pytestmark = pytest.mark.integration


@pytest.fixture
def log(installation: Settings) -> Iterator[LiveLog]:
    with LiveLog(installation) as growing:
        yield growing


@pytest.fixture
def gateway(log: LiveLog, start_service: StartService) -> Service:
    return start_service("gateway", log.settings)


def image_of(answer: dict[str, Any]) -> Any:
    return decode_image(msgspec.json.encode(answer["image"]))


def test_a_fan_gets_the_image_and_then_every_event(log: LiveLog, gateway: Service) -> None:
    """The image is at exactly `seq`; what comes after is gapless and carries what the log stores."""
    goal = a_goal("goal-1")
    log.say([a_period_start(), goal, *passes(25)])

    async def watch() -> None:
        async with Fan(gateway.url) as fan:
            answer = await fan.join(MATCH)
            assert answer["seq"] == 27
            assert image_of(answer) == log.image(MATCH)
            log.say([a_cancel_of(goal)])
            log.say(passes(3, 100))
            await fan.has(MATCH, 31)
            first = fan.named("events")[0]
            assert first["prev"] == 27
            assert first["events"][0]["event"]["body"]["reason"] == "offside"
            assert first["events"][0]["score"] == {"home": 0, "away": 0}

    asyncio.run(watch())


def test_fans_who_join_while_events_flow_miss_none_and_get_none_twice(log: LiveLog, gateway: Service) -> None:
    """Joins fall before, between and inside broadcasts; each fan's seqs run on from its own image."""
    log.say([a_period_start()])
    a_round, said = 20, 1
    all_joined = threading.Event()

    async def flow() -> None:
        nonlocal said
        while not all_joined.is_set():
            log.say(passes(a_round, said))
            said += a_round
            await asyncio.sleep(0)

    async def watch() -> None:
        flowing = asyncio.create_task(asyncio.to_thread(asyncio.run, flow()))
        fans = [Fan(gateway.url) for _ in range(12)]
        try:
            for fan in fans:
                await asyncio.to_thread(eventually, lambda before=said: said > before)
                async with asyncio.timeout(30):
                    await fan.__aenter__()
                    await fan.join(MATCH)
        finally:
            all_joined.set()
        await flowing
        for fan in fans:
            await fan.has(MATCH, said)
        floors = {fan.seqs[MATCH][0] for fan in fans}
        assert len(floors) > 3, f"all joined at {floors}: the flow was over before"
        for fan in fans:
            await fan.__aexit__(None, None, None)

    asyncio.run(watch())


def test_an_unknown_match_is_joined_and_begins_later(log: LiveLog, gateway: Service) -> None:
    async def watch() -> None:
        async with Fan(gateway.url) as fan:
            answer = await fan.join("not-yet")
            place = {"generation": log.generation, "seq": 0, "chain": ZERO_CHAIN.hex()}
            assert answer == {"match": "not-yet", **place, "image": None}
            log.say(passes(2, match="not-yet"))
            await fan.has("not-yet", 2)

    asyncio.run(watch())


@pytest.mark.parametrize("missed", [0, 1, 700, 3_000])
def test_a_fan_continues_where_it_left_off(log: LiveLog, gateway: Service, missed: int) -> None:
    """From the ring, the stream or the log: the events after `since` come, and no image.

    So also for a stock client that keeps no chains; one that does proves that
    it has seen this log.
    """
    chain = log.say(passes(10))[-1].chain.hex()

    async def watch() -> None:
        log.say(passes(missed, 1_000))
        async with Fan(gateway.url) as fan:
            answer = await fan.join(MATCH, (log.generation, 10))
            chain_told = answer.pop("chain")
            assert chain_told in (chain, None)  # it was not asked for
            assert answer == {"match": MATCH, "generation": log.generation, "seq": 10, "resumed": True}
            async with Fan(gateway.url) as proving:
                answer = await proving.join(MATCH, (log.generation, 10), chain)
                assert (answer["chain"], answer["resumed"]) == (chain, True)
                last = log.say(passes(1, 9_000))[-1]
                for each in (fan, proving):
                    await each.has(MATCH, 11 + missed)
                    assert each.chains[MATCH] == last.chain.hex()

    asyncio.run(watch())


def test_a_fan_who_comes_back_to_a_quiet_match_gets_what_it_missed(log: LiveLog, gateway: Service) -> None:
    """The channel is new and nothing comes any more: what was missed may not wait for the next event."""
    log.say(passes(10))

    async def watch() -> None:
        log.say(passes(50, 1_000))
        async with Fan(gateway.url) as fan:
            await fan.join(MATCH, since=(log.generation, 10))
            await fan.has(MATCH, 60)

    asyncio.run(watch())


def test_a_fan_of_another_life_or_ahead_of_the_log_gets_an_image_that_says_why(
    log: LiveLog, gateway: Service
) -> None:
    log.say(passes(10))

    async def watch() -> None:
        async with Fan(gateway.url) as fan:
            for since, why in [
                ((log.generation - 1, 5), "generation"),
                ((log.generation + 1, 5), "generation"),
                ((log.generation, 11), "ahead"),
            ]:
                answer = await fan.join(MATCH, since)
                assert why in answer["resync"]
                assert (answer["seq"], answer["image"]["seq"]) == (10, 10)

    asyncio.run(watch())


def test_a_fan_who_missed_too_much_gets_an_image(log: LiveLog, gateway: Service) -> None:
    log.say(passes(5_200))

    async def watch() -> None:
        async with Fan(gateway.url) as fan:
            answer = await fan.join(MATCH, since=(log.generation, 5))
            assert "missed" in answer["resync"]
            assert answer["seq"] == 5_200

    asyncio.run(watch())


def test_backfill_gives_pages_up_to_the_head(log: LiveLog, gateway: Service) -> None:
    placed = log.say(passes(300))

    async def watch() -> None:
        async with Fan(gateway.url) as fan:
            ask = {"match": MATCH, "generation": log.generation, "after_seq": 40}
            page = await fan.ask("backfill", {**ask, "limit": 100})
            assert [event["seq"] for event in page["events"]] == list(range(41, 141))
            assert (page["head_seq"], page["complete"]) == (300, False)
            assert page["chain"] == placed[139].chain.hex()
            last = await fan.ask("backfill", {**ask, "after_seq": 290, "chain": placed[289].chain.hex()})
            assert [event["seq"] for event in last["events"]] == list(range(291, 301))
            assert last["complete"] is True
            end = await fan.ask("backfill", {**ask, "after_seq": 300})
            assert (end["events"], end["complete"]) == ([], True)
            other = await fan.ask("backfill", {**ask, "generation": 7})
            assert "generation" in other["resync"]
            assert (other["generation"], other["seq"]) == (log.generation, 300)
            forked = await fan.ask("backfill", {**ask, "chain": "ab" * 16})
            assert "history" in forked["resync"]
            assert (forked["generation"], forked["seq"]) == (log.generation, 300)

    asyncio.run(watch())


def test_backfill_answers_from_the_stream_while_the_log_has_nothing(log: LiveLog, gateway: Service) -> None:
    """Redis is asked before Postgres: a fan gets its few missing events though the log is empty."""
    log.say(passes(50))
    log.drop_before(log.append(passes(1, 60))[0].shard, 51)

    async def watch() -> None:
        async with Fan(gateway.url) as fan:
            page = await fan.ask("backfill", {"match": MATCH, "generation": log.generation, "after_seq": 20})
            assert [event["seq"] for event in page["events"]] == list(range(21, 51))

    asyncio.run(watch())


def test_events_that_were_dropped_from_the_log_are_replaced_by_an_image(
    log: LiveLog, gateway: Service
) -> None:
    log.append(passes(50))
    log.drop_before(log.append(passes(1, 60))[0].shard, 41)

    async def watch() -> None:
        async with Fan(gateway.url) as fan:
            ask = {"match": MATCH, "generation": log.generation, "after_seq": 20}
            answer = await fan.ask("backfill", ask)
            assert "no longer in the log" in answer["resync"]
            assert answer["image"]["seq"] == 51

    asyncio.run(watch())


def test_gaps_in_the_stream_are_read_from_the_log(log: LiveLog, gateway: Service) -> None:
    """Packs lost, overlapping and damaged: each event still comes once and in order."""

    async def watch() -> None:
        async with Fan(gateway.url) as fan:
            await fan.join(MATCH)
            log.say(passes(5))
            await fan.has(MATCH, 5)
            lost = log.append(passes(5, 100))
            kept = log.append(passes(5, 200))
            log.publish_pack(kept[0].shard, kept)
            await fan.has(MATCH, 15)
            more = log.append(passes(5, 300))
            log.publish_pack(more[0].shard, [*lost[3:], *kept, *more])
            await fan.has(MATCH, 20)
            broken = log.append(passes(2, 400))
            log.publish_pack(broken[0].shard, [broken[0], broken[1]._replace(payload=b"{")])
            await fan.has(MATCH, 22)

    asyncio.run(watch())


def test_flushed_streams_delay_and_lose_nothing(log: LiveLog, gateway: Service) -> None:
    """FLUSHALL, and no relay: the log's heads tell, and the log is read instead."""

    async def watch() -> None:
        async with Fan(gateway.url) as fan:
            await fan.join(MATCH)
            log.say(passes(5))
            await fan.has(MATCH, 5)
            log.flush_streams()
            log.append(passes(5, 100))
            await fan.has(MATCH, 10)
            log.append(passes(5, 200))
            await fan.has(MATCH, 15)
            log.publish()
            log.say(passes(5, 300))
            await fan.has(MATCH, 20)

    asyncio.run(watch())


def test_a_new_generation_brings_an_image_and_events_go_on(log: LiveLog, gateway: Service) -> None:
    log.say(passes(10))

    async def watch() -> None:
        async with Fan(gateway.url) as fan:
            await fan.join(MATCH)
            generation = log.begin_generation()
            log.say(passes(3, 100))
            await fan.until(lambda: bool(fan.named("resync")))
            told = fan.named("resync")[0]
            assert "generation" in told["reason"]
            assert told["generation"] == generation
            await fan.has(MATCH, 13)
            log.say(passes(3, 200))
            await fan.has(MATCH, 16)
            assert len(fan.named("resync")) == 1

    asyncio.run(watch())


def test_packs_of_the_release_before_delay_and_lose_nothing(log: LiveLog, gateway: Service) -> None:
    """They carry no chains, so the log is read in their place."""

    async def watch() -> None:
        async with Fan(gateway.url) as fan:
            await fan.join(MATCH)
            for first in (1, 100, 200):
                placed = log.append(passes(5, first))
                log.publish_as_before(placed[0].shard, placed)
                await fan.has(MATCH, placed[-1].seq)
            log.say(passes(5, 300))
            await fan.has(MATCH, 20)
            assert not fan.named("resync")

    asyncio.run(watch())


def test_a_shard_without_any_log_is_followed_once_it_begins(
    installation: Settings, start_service: StartService
) -> None:
    gateway = start_service("gateway", installation)

    async def watch() -> None:
        async with Fan(gateway.url) as fan:
            answer = await fan.join(MATCH)
            assert (answer["generation"], answer["seq"], answer["image"]) == (0, 0, None)
            with LiveLog(installation) as log:
                log.say(passes(3))
                await fan.until(lambda: bool(fan.named("resync")))
                log.say(passes(3, 10))
                await fan.has(MATCH, 6)

    asyncio.run(watch())


def test_heartbeats_tell_the_seq_of_the_log_not_of_the_gateway(
    log: LiveLog, start_service: StartService
) -> None:
    """A committed event that no stream brought yet is in the very next beat."""
    settings = msgspec.structs.replace(log.settings, heartbeat=timedelta(milliseconds=100))
    gateway = start_service("gateway", settings)
    log.say(passes(4))
    others = log.say(passes(2, match="other"))

    async def watch() -> None:
        async with Fan(gateway.url) as fan:
            await fan.join(MATCH)
            await fan.join("other")
            chain = log.append(passes(1, 100))[0].chain.hex()
            expected = {
                MATCH: {"generation": log.generation, "seq": 5, "chain": chain},
                "other": {"generation": log.generation, "seq": 2, "chain": others[-1].chain.hex()},
            }
            await fan.until(lambda: any(beat["matches"] == expected for beat in fan.named("heartbeat")))
            await fan.ask("leave", {"match": "other"})
            expected.pop("other")
            await fan.until(lambda: fan.named("heartbeat")[-1]["matches"] == expected)

    asyncio.run(watch())


def test_who_left_gets_nothing_more(log: LiveLog, gateway: Service) -> None:
    async def watch() -> None:
        async with Fan(gateway.url) as fan:
            await fan.join(MATCH)
            await fan.join("other")
            assert await fan.ask("leave", {"match": MATCH}) == {"match": MATCH}
            log.say(passes(3))
            log.say(passes(3, match="other"))
            await fan.has("other", 3)
            assert fan.seqs[MATCH] == [0]

    asyncio.run(watch())


def test_sigterm_says_goodbye_and_exits_cleanly(gateway: Service) -> None:
    async def watch() -> None:
        async with Fan(gateway.url) as fan:
            code = await asyncio.to_thread(gateway.stop)
            await fan.until(lambda: bool(fan.named("closing")))
            assert fan.named("closing")[0]["code"] == "restart"
            assert code == 0

    asyncio.run(watch())
