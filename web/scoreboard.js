/** The board on top of a match: teams, score, clock, and the latest thing that counted. */
import { element, setText, unseen } from "./dom.js";
import { displayMinute } from "./fold.js";
import { icon } from "./icons.js";
import { scoreText, spokenScore, statusText, teamsOf } from "./words.js";

const FLASH_MS = 4_000;
const UNHEARD = { "aria-hidden": "true" };

export class Scoreboard {
  #flash = null;

  constructor() {
    this.competition = element("p", { class: "board-competition" });
    this.clock = element("p", { class: "board-clock" });
    this.home = element("p", { class: "board-team home" });
    this.away = element("p", { class: "board-team away" });
    this.goals = { home: element("span", { class: "digit" }), away: element("span", { class: "digit" }) };
    this.spoken = unseen("");
    const dash = element("span", { class: "to", text: "–" });
    this.score = element(
      "p",
      { class: "board-score" },
      this.spoken,
      element("span", { class: "digits", ...UNHEARD }, this.goals.home, dash, this.goals.away),
    );
    this.shootOut = element("p", { class: "board-shoot-out", hidden: true });
    this.status = element("p", { class: "board-status" });
    this.news = element("div", { class: "news", hidden: true });
    this.root = element(
      "section",
      { class: "board", "aria-label": "Score" },
      element("div", { class: "board-top" }, this.competition, this.clock),
      element("div", { class: "board-middle" }, this.home, this.score, this.away),
      this.shootOut,
      this.status,
      this.news,
    );
  }

  /** Show an image. */
  show(image) {
    const teams = teamsOf(image.fixture);
    const hasBegun = image.status !== "scheduled" || image.period > 0;
    setText(this.competition, image.fixture.competition || "Match");
    setText(this.home, teams.home);
    setText(this.away, teams.away);
    setText(this.goals.home, hasBegun ? String(image.score.home) : "");
    setText(this.goals.away, hasBegun ? String(image.score.away) : "");
    setText(this.spoken, hasBegun ? spokenScore(image.score, teams) : "No score yet");
    setText(this.status, statusText(image));
    const isLive = image.status === "live";
    setText(this.clock, isLive && image.period ? displayMinute(image.period, image.clock) : "");
    this.clock.classList.toggle("is-live", isLive);
    this.root.dataset.status = image.status;
    const { home, away } = image.shoot_out;
    this.shootOut.hidden = home + away === 0;
    setText(this.shootOut, `Penalties ${scoreText(image.shoot_out)}`);
  }

  /** Show the latest news: it stays until there is other, so nobody who looks away misses it. */
  tell(item) {
    const about = [item.who, item.detail, item.minute].filter(Boolean).join(" · ");
    this.news.replaceChildren(
      icon(item.type),
      element("p", { class: "news-headline", text: item.headline }),
      element("p", { class: "news-about", text: about }),
      ...(item.scores ? [change(...item.scores)] : []),
    );
    this.news.dataset.kind = item.kind;
    this.news.hidden = false;
    if (item.isUrgent) {
      this.#draw(item.kind);
    }
  }

  #draw(kind) {
    clearTimeout(this.#flash);
    this.root.dataset.flash = kind;
    this.#flash = setTimeout(() => delete this.root.dataset.flash, FLASH_MS);
  }
}

function change(was, is) {
  return element(
    "p",
    { class: "news-scores" },
    element("s", {}, unseen("was "), was),
    element("span", { ...UNHEARD, text: "→" }),
    element("b", {}, unseen("now "), is),
  );
}
