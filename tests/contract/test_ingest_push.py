"""HTTP push: every answer tells the sensor what to do next."""

import gzip

import httpx
import msgspec
import pytest

from ingest.tally import ACCEPTED, REFUSED, THROTTLED
from resilience.rate_limit import TokenBucket
from schemas.record_form import form_of_ours
from tests.adapters import Push, a_bucket, lines_of
from tests.clocks import FakeClock
from tests.event_builders import a_goal, a_reading, encoded
from tests.kafkas import KafkaInMemory

pytestmark = pytest.mark.anyio

GOOD = encoded(a_reading())
DECISIVE = encoded(msgspec.structs.replace(a_reading("goal-line-1"), type="goal"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def kafka() -> KafkaInMemory:
    return KafkaInMemory()


async def posted(push: Push, body: bytes, **headers: str) -> httpx.Response:
    named = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
    return await push.client.post("/sensors", content=body, headers=named)


async def test_one_object_or_an_array_of_them_is_taken(kafka: KafkaInMemory) -> None:
    push = Push(kafka)
    for body, count in ((GOOD, 1), (b"[" + b",".join(lines_of(push, 3)) + b"]", 3)):
        answer = await posted(push, body)
        assert (answer.status_code, answer.json()) == (202, {"accepted": count, "rejected": []})
    assert len(kafka.on("sensor-events")) == 4


async def test_a_gzip_body_is_taken(kafka: KafkaInMemory) -> None:
    answer = await posted(Push(kafka), gzip.compress(GOOD), Content_Encoding="gzip")
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)


async def test_what_we_do_not_know_is_passed_on_and_what_parsers_read_differently_is_refused(
    kafka: KafkaInMemory,
) -> None:
    """A sensor says more before the platform is told; Kafka has it, our stamp behind it."""
    grown = GOOD.replace(b'"body":{', b'"body": {"cadence": 88.0, "lap": null, ')
    doubled = GOOD.replace(b'"body":{', b'"body":{"lap":1,"lap":2,')
    answer = await posted(Push(kafka), b"[%b, %b]" % (grown, doubled))
    assert [refused["field"] for refused in answer.json()["rejected"]] == ["body.lap"]
    (record,) = kafka.on("sensor-events")
    assert b'"body":{"cadence":88,"heart_rate":140,' in record.value
    assert record.value[: record.value.rindex(b',"ingested_at":"')] == form_of_ours(a_reading())[:-1].replace(
        b'"body":{', b'"body":{"cadence":88,'
    )


async def test_rejected_lines_are_told_with_line_field_and_reason(kafka: KafkaInMemory) -> None:
    push = Push(kafka)
    body = b"[%b, %b, %b]" % (GOOD, GOOD.replace(b"140", b"9000"), encoded(a_goal()))
    answer = await posted(push, body)
    assert answer.status_code == 202
    assert answer.json() == {
        "accepted": 1,
        "rejected": [
            {
                "line": 2,
                "field": "body.heart_rate",
                "reason": "Expected int <= 300",
                "code": "invalid_record",
            },
            {
                "line": 3,
                "field": "source",
                "reason": "'broadcast' is not taken here, only 'sensors'",
                "code": "wrong_topic",
            },
        ],
    }
    assert push.tally.report() == {"sensors": {ACCEPTED: 1, REFUSED: 2}}


async def test_without_a_good_record_the_answer_is_400_and_says_the_same(kafka: KafkaInMemory) -> None:
    answer = await posted(Push(kafka), b'{"source": "sensors"}')
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["title"], problem["accepted"]) == (400, "Bad Request", 0)
    assert problem["rejected"][0]["field"] == "match"
    assert kafka.on("sensor-events") == []


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"[", {}, 400),
        (b"", {}, 400),
        (b"x" * 2_000, {}, 413),
        (gzip.compress(bytes(1_000_000)), {"Content_Encoding": "gzip"}, 413),
        (GOOD, {"Content_Type": "text/csv"}, 415),
        (GOOD, {"Content_Encoding": "br"}, 415),
    ],
)
async def test_a_body_that_cannot_be_taken_is_refused_with_its_status(
    kafka: KafkaInMemory, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await posted(Push(kafka, body_limit=1_000), body, **headers)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert kafka.on("sensor-events") == []


async def test_kafka_down_is_503_and_says_when_to_come_again(kafka: KafkaInMemory) -> None:
    kafka.go_down()
    answer = await posted(Push(kafka), GOOD)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1


async def test_beyond_the_limit_is_429_until_the_named_time(kafka: KafkaInMemory) -> None:
    clock = FakeClock()
    push = Push(kafka, TokenBucket(rate=1, burst=2, clock=clock))
    body = b"[" + b",".join(lines_of(push, 2)) + b"]"
    assert (await posted(push, body)).status_code == 202
    answer = await posted(push, body)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2")
    assert push.tally.report() == {"sensors": {ACCEPTED: 2, THROTTLED: 2}}
    clock.advance(2)
    assert (await posted(push, body)).status_code == 202


async def test_what_decides_a_match_passes_any_limit(kafka: KafkaInMemory) -> None:
    """Also when it comes among readings that have to wait: sending all again is harmless."""
    push = Push(kafka, TokenBucket(rate=1, burst=1, clock=FakeClock()))
    await posted(push, GOOD)
    assert (await posted(push, DECISIVE)).status_code == 202
    answer = await posted(push, b"[%b,%b]" % (GOOD, DECISIVE))
    assert (answer.status_code, answer.json()["accepted"]) == (429, 1)
    assert [b'"goal"' in record.value for record in kafka.on("sensor-events")] == [False, True, True]


async def test_refused_lines_cost_no_tokens(kafka: KafkaInMemory) -> None:
    push = Push(kafka, a_bucket(rate=1, burst=1))
    assert (await posted(push, b"[%b,{},{},{}]" % GOOD)).status_code == 202


async def test_an_unknown_path_is_a_problem_too(kafka: KafkaInMemory) -> None:
    answer = await Push(kafka).client.get("/sensor")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
