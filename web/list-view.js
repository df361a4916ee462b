/** The list of matches, asked of the REST API while somebody looks. */
import { element, setText, updateList } from "./dom.js";
import { displayMinute } from "./fold.js";
import { NAMELESS, scoreText, spokenScore, statusText, teamsOf } from "./words.js";

const ASK_EVERY_MS = 5_000;
const ANSWER_WITHIN_MS = 8_000;
const LONGEST_WAIT_MS = 60_000;
const GROUPS = [
  { title: "Live", statuses: ["live", "break"] },
  { title: "Coming up", statuses: ["scheduled", "cancelled"] },
  { title: "Finished", statuses: ["finished"] },
];

export class ListView {
  #api;
  #timer = null;
  #isOpen = false;
  #failures = 0;

  constructor({ api }) {
    this.#api = api;
    this.heading = element("h1", { tabindex: "-1", text: "Matches" });
    this.problem = element("p", { class: "problem", role: "status" });
    this.empty = element("p", { class: "empty", text: "Loading …" });
    this.groups = GROUPS.map(({ title, statuses }) => {
      const list = element("ul", { class: "cards" });
      const section = element("section", { hidden: true }, element("h2", { text: title }), list);
      return { list, section, statuses };
    });
    this.root = element(
      "div",
      { class: "view list" },
      this.heading,
      this.problem,
      this.empty,
      ...this.groups.map(({ section }) => section),
    );
  }

  open() {
    this.#isOpen = true;
    document.title = "Touchline";
    document.addEventListener("visibilitychange", this.#ask);
    this.#ask();
  }

  close() {
    this.#isOpen = false;
    document.removeEventListener("visibilitychange", this.#ask);
    clearTimeout(this.#timer);
  }

  #ask = async () => {
    clearTimeout(this.#timer);
    if (document.visibilityState !== "visible") {
      return;
    }
    try {
      const answer = await fetch(`${this.#api}/matches`, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
      if (!answer.ok) {
        throw new Error(`the server answered ${answer.status}`);
      }
      const { matches } = await answer.json();
      this.#failures = 0;
      this.#show(matches);
    } catch (error) {
      this.#failures += 1;
      setText(this.problem, `The list cannot be loaded (${error.message}). Trying again.`);
      this.empty.hidden = true;
    }
    if (this.#isOpen) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(this.#ask, this.#wait());
    }
  };

  #wait() {
    return Math.min(ASK_EVERY_MS * 2 ** this.#failures, LONGEST_WAIT_MS) * (0.9 + 0.2 * Math.random());
  }

  #show(matches) {
    setText(this.problem, "");
    setText(this.empty, "No matches yet.");
    this.empty.hidden = matches.length > 0;
    for (const { list, section, statuses } of this.groups) {
      const lines = matches.filter((match) => statuses.includes(match.status)).map(lineOf).sort(byKickOff);
      updateList(list, lines, card);
      section.hidden = lines.length === 0;
    }
  }
}

function lineOf({ match, fixture, status, period, clock, score, shoot_out: shootOut }) {
  const teams = teamsOf(fixture);
  const isNameless = teams.home === NAMELESS.home && teams.away === NAMELESS.away;
  return {
    key: match,
    match,
    teams,
    competition: fixture?.competition || (isNameless ? match : ""),
    kickOff: fixture?.kick_off ?? "",
    status,
    state: statusText({ status, period, fixture }),
    minute: status === "live" && period ? displayMinute(period, clock) : "",
    score: status === "scheduled" || status === "cancelled" ? null : score,
    penalties: shootOut && shootOut.home + shootOut.away > 0 ? `Penalties ${scoreText(shootOut)}` : "",
  };
}

function byKickOff(a, b) {
  // The latest first; ids keep the order still where two kick off together.
  return Date.parse(b.kickOff || 0) - Date.parse(a.kickOff || 0) || (a.match < b.match ? -1 : 1);
}

function card({ match, teams, competition, status, state, minute, score, penalties }) {
  const spoken = score ? `${spokenScore(score, teams)}.` : `${teams.home} v ${teams.away}.`;
  const told = [spoken, minute, state, penalties, competition].filter(Boolean).join(" ");
  const hidden = { "aria-hidden": "true" };
  const row = (side) =>
    element(
      "span",
      { class: `card-team ${side}`, ...hidden },
      element("span", { class: "name", text: teams[side] }),
      element("b", { class: "digit", text: score ? String(score[side]) : "" }),
    );
  const link = element(
    "a",
    { class: "card", href: `#/match/${encodeURIComponent(match)}` },
    element("span", { class: "unseen", text: told }),
    element(
      "span",
      { class: "card-top", ...hidden },
      element("span", { class: "competition", text: competition }),
      element("span", { class: "state", text: [minute, penalties || state].filter(Boolean).join(" · ") }),
    ),
    row("home"),
    row("away"),
  );
  link.dataset.status = status;
  return element("li", {}, link);
}
