"""The two feeds: read on exactly where Kafka has everything, whatever the upstream does."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from ingest.cursor import Place
from ingest.publications import Published
from ingest.tally import FORWARDED
from resilience.rate_limit import TokenBucket
from schemas.raw import BroadcastEvent
from schemas.validation import parse
from tests.adapters import Poll, Stream, lines_of, reached
from tests.clocks import FakeClock
from tests.kafkas import KafkaInMemory
from tests.upstreams import FakeFeed, cut_in_the_middle, refused, unavailable

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def kafka() -> KafkaInMemory:
    return KafkaInMemory()


@pytest.fixture
async def poll(kafka: KafkaInMemory, tmp_path: Path) -> AsyncIterator[Poll]:
    made = Poll(kafka, tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def stream(kafka: KafkaInMemory, tmp_path: Path) -> AsyncIterator[Stream]:
    made = Stream(kafka, tmp_path)
    yield made
    await made.close()


def values_on(kafka: KafkaInMemory, topic: str) -> list[str]:
    return [parse(record.value).source_event_id for record in kafka.on(topic)]  # type: ignore[union-attr]


def numbered(count: int) -> list[str]:
    return [f"{number:04d}" for number in range(count)]


async def test_a_restart_asks_behind_what_was_taken_and_repeats_nothing(
    poll: Poll, kafka: KafkaInMemory
) -> None:
    await poll.offer(lines_of(poll, 7))
    await poll.start()
    await reached(lambda: poll.cursor.load() == Place("7"))
    await poll.restart()
    await poll.offer(lines_of(poll, 2, start=7))
    await reached(lambda: poll.cursor.load() == Place("9"))
    assert values_on(kafka, poll.topic) == numbered(9)


async def test_the_cursor_stays_until_kafka_has_the_page(poll: Poll, kafka: KafkaInMemory) -> None:
    """Asking with a cursor tells the feed that everything before it is safe."""
    kafka.go_down()
    await poll.offer(lines_of(poll, 2))
    await poll.start()
    await reached(lambda: kafka.refused >= 3)
    assert poll.cursor.load() == Place()
    assert {cursor for cursor, _ in poll.feed.asked} == {""}


async def test_the_tag_is_sent_only_where_it_was_given(poll: Poll) -> None:
    """A tag of the page before could hide what is behind the cursor."""
    await poll.offer(lines_of(poll, 5))
    await poll.start()
    await reached(lambda: len(poll.feed.asked) >= 5)
    assert poll.feed.asked[:5] == [("", ""), ("3", ""), ("5", ""), ("5", '"5"'), ("5", '"5"')]


async def test_an_upstream_that_comes_back_is_read_on(poll: Poll, kafka: KafkaInMemory) -> None:
    poll.feed.faults += [refused, unavailable, unavailable, lambda: httpx.Response(404)]
    await poll.offer(lines_of(poll, 4))
    await poll.start()
    await reached(lambda: poll.cursor.load() == Place("4"))
    assert values_on(kafka, poll.topic) == numbered(4)
    assert poll.link.is_up


async def test_an_answer_that_breaks_off_moves_no_cursor(poll: Poll, kafka: KafkaInMemory) -> None:
    lines = lines_of(poll, 4)
    poll.feed.faults.append(cut_in_the_middle(lines[:2]))
    await poll.offer(lines)
    await poll.start()
    await reached(lambda: poll.cursor.load() == Place("4"))
    assert poll.feed.asked[1][0] == ""
    assert set(values_on(kafka, poll.topic)) == set(numbered(4))


async def test_an_answer_whose_end_cannot_be_told_is_refused(poll: Poll) -> None:
    def endless() -> httpx.Response:
        answer = httpx.Response(200, headers={"Next-Cursor": "9"}, content=b"{}\n")
        del answer.headers["Content-Length"]
        return answer

    poll.feed.faults.append(endless)
    await poll.start()
    await reached(lambda: len(poll.feed.asked) >= 2)
    # The answer after it may be in already; the refused one must have left nothing.
    assert poll.cursor.load().cursor != "9"


async def test_a_cursor_that_the_feed_forgot_is_dropped(poll: Poll, kafka: KafkaInMemory) -> None:
    """From the beginning: the log drops repeats, a gap would stay."""
    await asyncio.to_thread(poll.cursor.save, Place("2"))
    poll.feed.forgets_below = 3
    await poll.offer(lines_of(poll, 5))
    await poll.start()
    await reached(lambda: poll.cursor.load() == Place("5"))
    assert values_on(kafka, poll.topic) == numbered(5)


async def test_until_the_end_it_takes_all_tells_the_feed_so_and_returns(
    poll: Poll, kafka: KafkaInMemory
) -> None:
    await poll.offer(lines_of(poll, 7))
    poll.feed.has_ended = True
    await poll.run(until_end=True)
    assert values_on(kafka, poll.topic) == numbered(7)
    assert poll.feed.asked[-1][0] == "7"


async def test_a_feed_that_is_gone_after_its_end_has_ended(poll: Poll, kafka: KafkaInMemory) -> None:
    await poll.offer(lines_of(poll, 2))
    poll.feed.has_ended = True
    whole = poll.feed._answer

    def last_answer() -> httpx.Response:
        poll.feed.faults += [refused] * 10
        return whole(httpx.Request("GET", "http://feed.example"))

    poll.feed.faults.append(last_answer)
    await poll.run(until_end=True)
    assert values_on(kafka, poll.topic) == numbered(2)


async def test_a_feed_above_its_limit_is_read_more_slowly(poll: Poll, kafka: KafkaInMemory) -> None:
    """Nothing is dropped: the next page is asked for once the bucket allows it."""
    poll.bucket = TokenBucket(rate=100, burst=1, clock=FakeClock())
    poll.feed.has_ended = True
    await poll.offer(lines_of(poll, 7))
    began = asyncio.get_running_loop().time()
    await poll.run(until_end=True)
    assert asyncio.get_running_loop().time() - began >= 0.06
    assert values_on(kafka, poll.topic) == numbered(7)


STARTING = (
    b'{"id":"x1","index":1,"_event_time":"2018-08-18T20:15:00Z","period":1,"minute":0,"second":0,'
    b'"type":{"name":"Starting XI"},"team":{"name":"Girona"},"possession_team":{"name":"Girona"}}'
)
GOAL = (
    b'{"id":"x2","index":9,"_event_time":"2018-08-18T20:25:00Z","period":1,"minute":10,"second":0,'
    b'"type":{"name":"Shot"},"team":{"name":"Girona"},"shot":{"outcome":{"name":"Goal"}}}'
)


async def test_a_vendors_lines_become_records_of_the_match_that_the_feed_names(
    kafka: KafkaInMemory, tmp_path: Path
) -> None:
    """Also after a restart behind the line that says who is at home, and before it comes."""
    feed = FakeFeed(match="bar-gir")
    feed.lines = [GOAL, b"no json", STARTING]
    feed.has_ended = True
    poll = Poll(kafka, tmp_path, feed, "statsbomb")
    await poll.run(until_end=True)
    feed.lines.append(GOAL.replace(b"x2", b"x3"))
    await Poll(kafka, tmp_path, feed, "statsbomb").run(until_end=True)
    goals = [
        event
        for event in map(parse, (r.value for r in kafka.on(poll.topic)))
        if isinstance(event, BroadcastEvent)
    ]
    assert [(goal.match, goal.type, goal.body.side) for goal in goals if goal.type == "goal"] == [
        ("bar-gir", "goal", "home"),
        ("bar-gir", "goal", "home"),
    ]
    assert b"no json" in [record.value for record in kafka.on(poll.topic)]
    assert poll.tally.report()["broadcast"][FORWARDED] == 1


SAVED = GOAL.replace(b'"Goal"', b'"Saved"')


def published(kafka: KafkaInMemory) -> list[tuple[str, int, str]]:
    """Type, revision and action of what was said of the goal."""
    events = [parse(r.value) for r in kafka.on("broadcast-events")]
    return [
        (e.type, e.revision, e.action)
        for e in events
        if isinstance(e, BroadcastEvent) and e.source_event_id == "x2"
    ]


async def test_a_line_published_again_is_newer_also_after_a_restart(
    kafka: KafkaInMemory, tmp_path: Path
) -> None:
    """Which version is newer is kept beside the cursor; the same line again is the same record."""
    feed = FakeFeed(match="bar-gir", page=2)
    feed.has_ended = True
    for lines in ([STARTING, GOAL], [GOAL], [SAVED], [SAVED, GOAL]):
        feed.lines += lines
        await Poll(kafka, tmp_path, feed, "statsbomb").run(until_end=True)
    goal, saved, again = ("goal", 0, "add"), ("shot", 2**40 + 1, "modify"), ("goal", 2**40 + 2, "modify")
    assert published(kafka) == [goal, goal, saved, saved, again]


async def test_a_page_that_comes_again_becomes_the_same_records(kafka: KafkaInMemory, tmp_path: Path) -> None:
    """Kafka had it and the cursor was not moved, or Kafka had not all of it: no version is counted twice."""
    feed = FakeFeed(match="bar-gir")
    feed.lines = [STARTING, GOAL, SAVED, GOAL]
    feed.has_ended = True
    poll = Poll(kafka, tmp_path, feed, "statsbomb")
    before = Place("1", published=Published())
    await asyncio.to_thread(poll.cursor.save, before)
    kafka.go_down()
    await poll.start()
    await reached(lambda: kafka.refused >= 3)
    kafka.come_back()
    await reached(lambda: poll.cursor.load().cursor == "4")
    await poll.close()
    once = published(kafka)
    await asyncio.to_thread(poll.cursor.save, before)  # as if the process had died before it moved
    await Poll(kafka, tmp_path, feed, "statsbomb").run(until_end=True)
    assert published(kafka) == [*once, *once]
    assert [revision for _, revision, _ in once] == [0, 2**40 + 1, 2**40 + 2]


@pytest.mark.parametrize("damage", [b"", b'{"cursor":"3"}'], ids=["damaged", "of a former code"])
async def test_without_its_versions_a_feed_is_read_from_its_beginning(
    kafka: KafkaInMemory, tmp_path: Path, damage: bytes
) -> None:
    """It publishes the same again in the same order, so what was published last holds."""
    feed = FakeFeed(match="bar-gir")
    feed.lines = [STARTING, GOAL, SAVED]
    feed.has_ended = True
    poll = Poll(kafka, tmp_path, feed, "statsbomb")
    await poll.run(until_end=True)
    once = published(kafka)
    poll.cursor.path.write_bytes(damage)
    await Poll(kafka, tmp_path, feed, "statsbomb").run(until_end=True)
    first, last = published(kafka)[2:]
    assert last == once[1]
    assert first[1] == 0 if not damage else 0 < first[1] < 2**40


async def test_a_feed_that_forgot_a_cursor_and_its_history_still_corrects(
    kafka: KafkaInMemory, tmp_path: Path
) -> None:
    """What it says differs from what it said last, so it is newer, although the feed begins anew."""
    feed = FakeFeed(match="bar-gir", page=2)
    feed.has_ended = True
    feed.lines = [STARTING, GOAL]
    await Poll(kafka, tmp_path, feed, "statsbomb").run(until_end=True)
    feed.lines = [SAVED]
    feed.faults.append(lambda: httpx.Response(410))
    await Poll(kafka, tmp_path, feed, "statsbomb").run(until_end=True)
    assert published(kafka) == [("goal", 0, "add"), ("shot", 2**40 + 1, "modify")]


async def test_a_vendors_feed_without_a_match_waits_for_one(kafka: KafkaInMemory, tmp_path: Path) -> None:
    feed = FakeFeed()
    feed.lines = [GOAL]
    poll = Poll(kafka, tmp_path, feed, "statsbomb")
    await poll.start()
    await reached(lambda: len(feed.asked) >= 2)
    assert "Match" in poll.link.report().detail
    assert kafka.on(poll.topic) == []
    await poll.close()


async def test_a_stream_is_continued_behind_the_last_event_that_kafka_has(
    stream: Stream, kafka: KafkaInMemory
) -> None:
    await stream.start()
    await stream.offer(lines_of(stream, 3))
    await reached(lambda: stream.cursor.load() == Place("3"))
    await stream.stream.cut()
    await stream.offer(lines_of(stream, 2, start=3))
    await reached(lambda: stream.cursor.load() == Place("5"))
    await stream.restart()
    await stream.offer(lines_of(stream, 1, start=5))
    await reached(lambda: stream.cursor.load() == Place("6"))
    assert values_on(kafka, stream.topic) == numbered(6)
    assert stream.stream.asked == ["", "3", "5"]


async def test_a_stream_that_is_closed_politely_is_no_lost_upstream(
    stream: Stream, caplog: pytest.LogCaptureFixture
) -> None:
    """Proxies close long streams; nobody is to be woken for that."""
    await stream.start()
    await reached(lambda: len(stream.stream.asked) == 1)
    await stream.stream.cut()
    await reached(lambda: len(stream.stream.asked) == 2)
    await stream.stream.cut()
    await reached(lambda: len(stream.stream.asked) == 3)
    assert stream.link.is_up
    # The reporting threads of other tests' producers may still have something to say.
    assert [record for record in caplog.records if record.thread == threading.get_ident()] == []


async def test_a_stream_that_is_refused_is_opened_again(stream: Stream, kafka: KafkaInMemory) -> None:
    stream.stream.faults += [refused, unavailable, lambda: httpx.Response(200, text="no stream")]
    await stream.offer(lines_of(stream, 2))
    await stream.start()
    await reached(lambda: stream.cursor.load() == Place("2"))
    assert values_on(kafka, stream.topic) == numbered(2)


async def test_bytes_that_are_no_utf8_reach_the_dead_letter_as_they_came(
    stream: Stream, kafka: KafkaInMemory
) -> None:
    bad = b'{"text": "\xff\xc3( \xe2\x80\xa8 \x85"}'
    await stream.start()
    await stream.offer([bad, *lines_of(stream, 1)])
    await reached(lambda: stream.cursor.load() == Place("2"))
    assert kafka.on(stream.topic)[0].value == bad


async def test_a_text_in_any_script_survives_the_stream(stream: Stream, kafka: KafkaInMemory) -> None:
    line = lines_of(stream, 1)[0].replace("¡Golazo!".encode(), "نعم — ゴール 🥅\u2028".encode())
    await stream.start()
    await stream.offer([line])
    await reached(lambda: stream.cursor.load() == Place("1"))
    event = parse(kafka.on(stream.topic)[0].value)
    assert getattr(getattr(event, "body", None), "text", "") == "نعم — ゴール 🥅\u2028"


async def test_told_to_stop_both_feeds_return(poll: Poll, stream: Stream) -> None:
    running = [asyncio.create_task(feed.run()) for feed in (poll, stream)]
    await stream.offer(lines_of(stream, 1))
    await reached(lambda: stream.cursor.load() == Place("1") and len(poll.feed.asked) > 0)
    poll.stopping.set()
    stream.stopping.set()
    async with asyncio.timeout(5):
        await asyncio.gather(*running)
