"""The list of matches, the keyboard, both colour schemes, and rules for those who listen or see little."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from settings import ROOT
from tests.browser.conftest import OneTestsLog, OpenPage
from tests.event_builders import (
    KICK_OFF,
    a_cancel_of,
    a_card,
    a_change_of,
    a_fixture,
    a_goal,
    a_pass,
    a_period_end,
    a_period_start,
    a_post,
    a_substitution,
    a_var_review,
)

pytestmark = [pytest.mark.browser, pytest.mark.integration]

AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
# WCAG 2.2 AA and what axe calls best practice.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
OTHER = "fra-2032"
SCHEMES = ("light", "dark")


def a_rich_match() -> list[Any]:
    """A bit of everything that a timeline shows."""
    first, second = a_goal("goal-1"), a_goal("goal-2", side="away", clock=1500, player="Ferran Torres")
    return [
        a_fixture(),
        a_period_start(),
        first,
        second,
        a_var_review("var-1", clock=1520, side="away", outcome="goal_disallowed"),
        a_cancel_of(second, "VAR: offside"),
        a_change_of(first, player="Pedri"),
        a_card("card-1", clock=1700),
        a_substitution("sub-1", clock=1800, side="away"),
        a_pass("pass-1", clock=1900),
        a_period_end("end-1"),
    ]


def violations(page: Page) -> list[str]:
    """What axe finds wrong, one line each."""
    page.evaluate(AXE.read_text())  # evaluated, not added: the page's policy lets no foreign script in
    found = page.evaluate(f"axe.run(document, {{runOnly: {json.dumps(RULES)}}})")
    return [f"{v['id']}: {node['html']}" for v in found["violations"] for node in v["nodes"]]


def card(page: Page, group: str, team: str) -> Locator:
    """The card of a home team, where it stands under this heading."""
    section = page.locator("section", has=page.get_by_role("heading", name=group, exact=True))
    return section.locator(".card", has_text=team)


def test_the_list_shows_every_match_and_follows_it(log: OneTestsLog, open_page: OpenPage) -> None:
    begun = [a_fixture(home="Lens"), a_period_start(), a_goal()]
    log.say([*begun, a_fixture("f", match=OTHER, home="Ajax", away="PSV")])
    page = open_page()
    expect(card(page, "Live", "Lens").locator(".digit")).to_have_text(["1", "0"])
    expect(card(page, "Coming up", "Ajax").locator(".name")).to_have_text(["Ajax", "PSV"])
    log.say([a_goal("goal-2", side="away"), a_period_start("s", match=OTHER)])
    expect(card(page, "Live", "Lens").locator(".digit")).to_have_text(["1", "1"])
    expect(card(page, "Live", "Ajax").locator(".digit")).to_have_text(["0", "0"])


def test_everything_works_by_keyboard(log: OneTestsLog, open_page: OpenPage) -> None:
    """From the skip link to a match, the feed's button, and back; focus is where the new view begins."""
    latest = a_fixture(kick_off=KICK_OFF)  # and so the first of the list
    log.say([latest, *a_rich_match()[1:]])
    page = open_page()
    first = page.locator(".card").first
    expect(first).to_have_accessible_name(re.compile("Barcelona 1, Girona 0"))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(first).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_role("heading", level=1)).to_have_text("Barcelona v Girona")
    page.keyboard.press("Tab")
    button = page.get_by_role("button", name="Pause")
    expect(button).to_be_focused()
    page.keyboard.press("Space")
    expect(button).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("link", name="All matches")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Matches")


def test_a_card_keeps_the_focus_while_its_match_goes_on(log: OneTestsLog, open_page: OpenPage) -> None:
    log.say([a_fixture(home="Metz"), a_period_start(), a_goal()])
    page = open_page()
    page.get_by_role("link", name="Metz 1, Girona 0").focus()
    log.say([a_goal("goal-2")])
    expect(page.get_by_role("link", name="Metz 2, Girona 0")).to_be_focused()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("view", ["list", "match"])
def test_the_page_keeps_the_rules_of_accessibility(
    log: OneTestsLog, open_page: OpenPage, scheme: str, view: str
) -> None:
    """Contrast AA in both schemes, names, roles, landmarks, headings: as axe checks them."""
    log.say(a_rich_match())
    page = open_page(log.route if view == "match" else "", color_scheme=scheme, reduced_motion="reduce")
    expect(page.locator(".card, .is-struck").first).to_be_visible()
    if view == "match":
        log.say([a_goal("goal-3", clock=2000), a_cancel_of(a_goal("goal-3", clock=2000)), a_post()])
        expect(page.locator(".post")).to_have_count(1)
        expect(page.locator(".is-struck")).to_have_count(2)
    assert violations(page) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_follows_the_system_s_colours(log: OneTestsLog, open_page: OpenPage, scheme: str) -> None:
    log.say([a_fixture()])
    page = open_page(color_scheme=scheme)
    expect(page.locator(".card").first).to_be_visible()
    red = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
    assert (int(red) > 200) == (scheme == "light")


@pytest.mark.parametrize("view", ["list", "match"])
def test_nothing_is_wider_than_a_phone(log: OneTestsLog, open_page: OpenPage, view: str) -> None:
    """Nor with names that have no place to break."""
    long = a_fixture(home="Llanfairpwllgwyngyllgogerychwyrndrobwll", away="Borussia Mönchengladbach")
    log.say([long, *a_rich_match()[1:]])
    page = open_page(log.route if view == "match" else "", viewport={"width": 320, "height": 640})
    expect(page.locator(".card, .is-struck").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_those_who_want_no_motion_see_none(log: OneTestsLog, open_page: OpenPage) -> None:
    log.say([a_fixture(), a_period_start()])
    page = open_page(log.route, reduced_motion="reduce")
    expect(page.locator(".board-status")).to_have_text("First half")
    log.say([a_goal()])
    expect(page.locator(".is-new").first).to_have_css("animation-name", "none")
