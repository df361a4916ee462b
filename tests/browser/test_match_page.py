"""The page of a match in a real browser: what a fan sees, and what a fan is told."""

import re

import pytest
from msgspec.structs import replace
from playwright.sync_api import Page, expect

from schemas.raw import BroadcastBody
from tests.browser.conftest import Console, OneTestsLog, OpenPage, Site
from tests.event_builders import (
    a_cancel_of,
    a_card,
    a_change_of,
    a_confirm_of,
    a_fixture,
    a_goal,
    a_pass,
    a_period_end,
    a_period_start,
    a_post,
    a_substitution,
    a_var_review,
    an_own_goal,
)

pytestmark = [pytest.mark.browser, pytest.mark.integration]

FIRST = a_goal("goal-1", clock=700, player="Artem Dovbyk")
SECOND = a_goal("goal-2", clock=1900, side="away", player="Ferran Torres")
BEGINNING = [a_fixture(), a_period_start(), FIRST]


def expect_score(page: Page, wanted: str) -> None:
    expect(page.locator(".digits")).to_have_text(wanted)


def test_a_fan_joins_and_sees_the_match_as_it_is(log: OneTestsLog, open_page: OpenPage) -> None:
    log.say([*BEGINNING, a_card("card-1", clock=900), a_substitution("sub-1", clock=1000)])
    page = open_page(log.route)
    expect_score(page, "1–0")
    expect(page.locator(".board-team.home")).to_have_text("Barcelona")
    expect(page.locator(".board-clock")).to_have_text("17'")
    expect(page.locator(".board-status")).to_have_text("First half")
    expect(page.locator(".timeline .title, .timeline .mark-title")).to_have_text(
        ["Substitution", "Yellow card", "Goal", "Kick-off"]
    )
    expect(page.locator(".link-word")).to_have_text("Live")
    expect(page.locator(".link-latency")).to_have_text(re.compile(r"^\d+ ms$"))
    expect(page).to_have_title("1–0 Barcelona v Girona · Touchline")


def test_a_goal_appears_by_itself_and_is_said_at_once(log: OneTestsLog, open_page: OpenPage) -> None:
    log.say(BEGINNING)
    page = open_page(log.route)
    expect_score(page, "1–0")
    expect(page.locator(".news")).to_be_hidden()
    log.say([SECOND])
    expect_score(page, "1–1")
    expect(page.locator(".news-headline")).to_have_text("Goal for Girona")
    newest = page.locator(".timeline .incident").first
    expect(newest).to_contain_text("Ferran Torres")
    expect(newest.locator(".score-then")).to_contain_text("1–1")
    expect(page.locator("#said-now p")).to_have_text(
        ["Goal for Girona, Ferran Torres, 32'. Barcelona 1, Girona 1."]
    )


def test_a_reversal_takes_the_score_back_and_strikes_the_goal_with_its_reason(
    log: OneTestsLog, open_page: OpenPage
) -> None:
    log.say([*BEGINNING, SECOND])
    page = open_page(log.route)
    expect_score(page, "1–1")
    log.say([a_var_review("var-1", clock=1950, side="away"), a_cancel_of(SECOND, "VAR: offside")])
    expect_score(page, "1–0")
    struck = page.locator(".timeline .incident.is-struck")
    expect(struck).to_have_count(1)
    expect(struck.locator("del").first).to_have_css("text-decoration-line", "line-through")
    expect(struck.locator(".headline")).to_have_text("Does not count: Goal")
    expect(struck.locator(".correction")).to_have_text("Goal taken back – VAR: offside")
    expect(struck.locator(".score-then")).to_have_count(0)
    expect(page.locator(".news-headline")).to_have_text("Goal taken back – VAR: offside")
    expect(page.locator(".news-scores s")).to_have_text("was 1–1")
    expect(page.locator("#said-now p").last).to_have_text(
        "Goal taken back – VAR: offside, Ferran Torres, 32'. Barcelona 1, Girona 0."
    )


def test_a_fan_who_comes_after_the_reversal_sees_it_too(log: OneTestsLog, open_page: OpenPage) -> None:
    log.say([*BEGINNING, SECOND, a_cancel_of(SECOND, "VAR: offside")])
    page = open_page(log.route)
    expect_score(page, "1–0")
    expect(page.locator(".is-struck .correction")).to_have_text("Goal taken back – VAR: offside")
    expect(page.locator("#said-now p")).to_have_count(0)


def test_a_changed_scorer_an_own_goal_and_a_confirmed_goal_are_explained(
    log: OneTestsLog, open_page: OpenPage
) -> None:
    log.say([*BEGINNING, SECOND])
    page = open_page(log.route)
    expect_score(page, "1–1")
    stands = replace(a_confirm_of(SECOND), body=BroadcastBody(reason="VAR: goal stands"))
    log.say([a_change_of(FIRST, player="Pedri"), stands, an_own_goal("own-1", clock=2000, side="away")])
    expect_score(page, "2–1")
    first = page.locator(".timeline .incident", has_text="Pedri")
    expect(first.locator(".correction")).to_have_text("Corrected: was Artem Dovbyk")
    second = page.locator(".timeline .incident", has_text="Ferran Torres")
    expect(second.locator(".correction")).to_have_text("VAR: goal stands")
    own = page.locator(".timeline .incident", has_text="Own goal")
    expect(own.locator(".about")).to_have_text("Eric (Girona) Barcelona")


def test_half_time_and_full_time_stand_in_the_timeline_with_their_score(
    log: OneTestsLog, open_page: OpenPage
) -> None:
    end = a_period_end("end-2", period=2, clock=5580, outcome="full_time")
    second_half = a_period_start("start-2", period=2, clock=2700)
    log.say([*BEGINNING, a_period_end("end-1", outcome="half_time"), second_half])
    page = open_page(log.route)
    expect(page.locator(".board-status")).to_have_text("Second half")
    log.say([end])
    expect(page.locator(".board-status")).to_have_text("Full time")
    expect(page.locator(".mark")).to_have_text(["Full time1–0", "Half-time1–0", "Kick-off"])


def test_posts_show_their_language_and_no_markup(log: OneTestsLog, open_page: OpenPage) -> None:
    """What strangers write is text: never an element, never a script."""
    log.say(BEGINNING)
    page = open_page(log.route)
    expect_score(page, "1–0")
    log.say([a_post("post-1", text="<img src=x onerror=alert(1)> ¡Golazo!")])
    post = page.locator(".post")
    expect(post.locator(".post-text")).to_have_text("<img src=x onerror=alert(1)> ¡Golazo!")
    expect(post.locator(".post-text")).to_have_attribute("lang", "es")
    expect(post.locator(".language")).to_have_text("Spanish")
    expect(page.locator(".feed img")).to_have_count(0)


def test_a_held_feed_stands_still(log: OneTestsLog, open_page: OpenPage) -> None:
    log.say(BEGINNING)
    page = open_page(log.route)
    expect_score(page, "1–0")
    log.say([a_post("post-1")])
    expect(page.locator(".post")).to_have_count(1)
    page.get_by_role("button", name="Pause").click()
    log.say([a_post("post-2"), SECOND])
    expect_score(page, "1–1")
    expect(page.locator(".post")).to_have_count(1)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".post")).to_have_count(2)


def test_a_fan_loses_nothing_when_the_gateway_is_killed(
    log: OneTestsLog, site: Site, open_page: OpenPage, console: Console
) -> None:
    console.expects_a_cut = True
    log.say(BEGINNING)
    page = open_page(log.route)
    expect_score(page, "1–0")
    site.kill("gateway")
    expect(page.locator(".link-word")).to_have_text("Reconnecting")
    log.say([a_pass(f"pass-{n}") for n in range(50)] + [SECOND, a_cancel_of(FIRST, "VAR: handball")])
    site.start("gateway")
    expect_score(page, "0–1")
    expect(page.locator(".link-word")).to_have_text("Live")
    log.say([a_pass("pass-last")])
    expect(page.locator(".seq")).to_contain_text("Event 56 of this match")
    expect(page.locator(".is-struck .correction")).to_have_text("Goal taken back – VAR: handball")


def test_ninety_seconds_of_silence_are_said(
    log: OneTestsLog, site: Site, open_page: OpenPage, console: Console
) -> None:
    """The gateway stands still with its connections open, as behind a network that went away."""
    console.expects_a_cut = True
    log.say(BEGINNING)
    page = open_page(log.route, fake_clock=True)
    expect_score(page, "1–0")
    site.freeze()
    page.clock.fast_forward("01:31")
    notice = page.locator("#notice")
    expect(notice).to_have_text("No message for 90 s: connection may be unstable")
    expect(page.locator(".link-word")).not_to_have_text("Live")
    site.thaw()
    log.say([SECOND])
    expect_score(page, "1–1")
    expect(notice).to_be_hidden()


def test_a_match_that_has_not_begun_waits_for_it(log: OneTestsLog, open_page: OpenPage) -> None:
    page = open_page(log.route)
    expect(page.locator(".board-status")).to_have_text("Not started")
    log.say(BEGINNING)
    expect_score(page, "1–0")
    expect(page.locator(".board-team.away")).to_have_text("Girona")
