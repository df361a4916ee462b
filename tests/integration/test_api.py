"""The REST API against a real log."""

from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from schemas.identity import key_of
from schemas.image import decode_image
from schemas.live import decode_live
from settings import Settings
from tests.event_builders import MATCH, a_cancel_of, a_fixture, a_goal, a_pass, a_period_start
from tests.fixtures.services import Service, StartService
from tests.live_log import LiveLog

pytestmark = pytest.mark.integration


@pytest.fixture
def log(installation: Settings) -> Iterator[LiveLog]:
    with LiveLog(installation) as growing:
        yield growing


@pytest.fixture
def api(log: LiveLog, start_service: StartService) -> Service:
    return start_service("api", log.settings)


def ask(api: Service, path: str, **parameters: Any) -> httpx.Response:
    return httpx.get(api.url + path, params=parameters, timeout=10)


def a_half() -> list[Any]:
    goal = a_goal("goal-1")
    return [a_fixture(), a_period_start(), goal, *[a_pass(f"p{i}", clock=601 + i) for i in range(30)]]


def test_a_match_is_shown_as_of_its_last_event(log: LiveLog, api: Service) -> None:
    """Also what no saved image holds yet, and also when it was asked for before."""
    log.append(a_half())
    first = ask(api, f"/matches/{MATCH}").json()
    assert (first["match"], first["generation"], first["seq"]) == (MATCH, log.generation, 33)
    assert decode_image(msgspec.json.encode(first["image"])) == log.image(MATCH)
    log.append([a_cancel_of(a_goal("goal-1")), a_pass("late", clock=900)])
    second = ask(api, f"/matches/{MATCH}").json()
    assert decode_image(msgspec.json.encode(second["image"])) == log.image(MATCH)
    assert second["image"]["score"] == {"home": 0, "away": 0}


def test_the_list_shows_every_match_as_of_its_last_event(log: LiveLog, api: Service) -> None:
    log.append([*a_half(), a_goal("g", match="other", side="away")])
    lines = {line["match"]: line for line in ask(api, "/matches").json()["matches"]}
    assert lines[MATCH]["fixture"]["home"] == "Barcelona"
    assert (lines[MATCH]["status"], lines[MATCH]["score"]) == ("live", {"home": 1, "away": 0})
    assert lines["other"]["score"] == {"home": 0, "away": 1}
    log.append([a_pass("later", clock=1_500)])
    lines = {line["match"]: line for line in ask(api, "/matches").json()["matches"]}
    assert (lines[MATCH]["clock"], lines[MATCH]["seq"]) == (1_500, 34)
    assert lines["other"]["seq"] == 1


def test_pages_of_events_are_gapless_up_to_the_head(log: LiveLog, api: Service) -> None:
    stored = log.append(a_half())
    seen: list[bytes] = []
    after = 0
    while True:
        page = ask(api, f"/matches/{MATCH}/events", after_seq=after, limit=10).json()
        assert (page["match"], page["generation"], page["head_seq"]) == (MATCH, log.generation, 33)
        seen += [msgspec.json.encode(event) for event in page["events"]]
        if page["complete"]:
            break
        after = page["events"][-1]["seq"]
    assert [decode_live(event) for event in seen] == [decode_live(place.payload) for place in stored]
    end = ask(api, f"/matches/{MATCH}/events", after_seq=33).json()
    assert (end["events"], end["complete"]) == ([], True)


def test_an_event_is_shown_with_its_place_and_proof(log: LiveLog, api: Service) -> None:
    goal = a_goal("goal-1")
    (stored,) = log.append([goal])
    found = ask(api, f"/events/{key_of(goal).hex()}").json()
    event = found.pop("event")
    assert decode_live(msgspec.json.encode(event)) == decode_live(stored.payload)
    assert found == {
        "event_id": key_of(goal).hex(),
        "match": MATCH,
        "seq": 1,
        "shard": stored.shard,
        "position": 1,
        "generation": log.generation,
        "chain": stored.chain.hex(),
    }


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/matches/nobody", "match_id"),
        ("/matches/nobody/events", "match_id"),
        ("/matches/a%00b", "match_id"),
        (f"/matches/{'x' * 500}/events", "match_id"),
        ("/events/8f0c2d1e5ab94c3f9d27b6e0a1c45f72", "event_id"),
        ("/events/nothing", "event_id"),
    ],
)
def test_what_is_not_in_the_log_is_a_404_problem(api: Service, path: str, field: str) -> None:
    answer = ask(api, path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "field"}
    assert (problem["status"], problem["field"]) == (404, field)


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1_001}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"after_seq": -1}, "after_seq"),
        ({"after_seq": "9" * 30}, "after_seq"),
        ({"after_seq": ""}, "after_seq"),
    ],
)
def test_a_parameter_that_does_not_fit_is_a_400_problem_that_names_it(
    api: Service, parameters: dict[str, Any], field: str
) -> None:
    answer = ask(api, f"/matches/{MATCH}/events", **parameters)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    problem = answer.json()
    assert problem["field"] == field
    assert problem["detail"].startswith(f"{field}: ")


def test_the_page_of_the_gateway_may_ask(api: Service) -> None:
    """CORS: the gateway's origin, and no other."""
    ours = api.settings.url("gateway")
    answer = httpx.get(f"{api.url}/matches", headers={"Origin": ours})
    assert answer.headers["access-control-allow-origin"] == ours
    other = httpx.get(f"{api.url}/matches", headers={"Origin": "http://elsewhere.example"})
    assert "access-control-allow-origin" not in other.headers


def test_the_document_describes_every_path_with_examples(api: Service) -> None:
    document = ask(api, "/schema").json()
    assert document["openapi"].startswith("3.1")
    for path, item in document["paths"].items():
        operation = item["get"]
        assert operation["summary"], path
        assert operation["description"], path
        for status, response in operation["responses"].items():
            (content,) = response["content"].values()
            assert status == "200" or content["schema"], path
