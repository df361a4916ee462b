/** The page of one match: joins it, and shows what comes. */
import { newsBetween } from "./announce.js";
import { element, setText } from "./dom.js";
import { Feed } from "./feed.js";
import { FeedView } from "./feed-view.js";
import { Former } from "./former.js";
import { LinkView } from "./link-view.js";
import { LinkWatch } from "./link-watch.js";
import { MatchClient, REFUSED } from "./match-client.js";
import { NumbersView } from "./numbers-view.js";
import { Scoreboard } from "./scoreboard.js";
import { sayNow, sayPolitely } from "./speech.js";
import { timelineOf } from "./timeline.js";
import { TimelineView } from "./timeline-view.js";
import { scoreText, teamsOf } from "./words.js";

// Events come by the hundred; the eye needs ten pictures a second at most.
const DRAW_EVERY_MS = 100;

export class MatchView {
  #socket;
  #former = new Former();
  #feed = new Feed();
  #timer = null;
  #isFirst = true;
  #shown = null; // the image on the screen

  constructor({ match, socket }) {
    this.#socket = socket;
    this.heading = element("h1", { class: "unseen", tabindex: "-1", text: `Match ${match}` });
    this.scoreboard = new Scoreboard();
    this.timeline = new TimelineView();
    this.feedView = new FeedView(this.#feed);
    this.numbers = new NumbersView();
    this.link = new LinkView();
    this.problem = element("p", { class: "problem", role: "alert", hidden: true });
    this.seq = element("p", { class: "seq" });
    this.waiting = element("p", { class: "empty", text: "Joining the match …" });
    this.body = element(
      "div",
      { class: "match", hidden: true },
      this.scoreboard.root,
      element(
        "div",
        { class: "columns" },
        this.timeline.root,
        element("div", { class: "aside" }, this.numbers.root, this.feedView.root),
      ),
      this.seq,
    );
    const back = element("a", { class: "back", href: "#/", text: "All matches" });
    this.root = element("div", { class: "view" }, back, this.heading, this.problem, this.waiting, this.body);
    this.watch = new LinkWatch({
      socket,
      onChange: () => this.#showLink(),
      now: () => performance.now(),
    });
    this.client = new MatchClient({ match, socket, onChange: (change) => this.#changed(change) });
  }

  open() {
    this.client.start();
    this.watch.start();
    this.#showLink();
    this.#socket.connect();
    for (const [target, event] of this.#wakeups()) {
      target.addEventListener(event, this.#wake);
    }
  }

  close() {
    this.client.close();
    this.watch.stop();
    this.link.close();
    this.feedView.close();
    clearTimeout(this.#timer);
    this.#socket.disconnect();
    for (const [target, event] of this.#wakeups()) {
      target.removeEventListener(event, this.#wake);
    }
  }

  #wakeups() {
    return [
      [window, "online"],
      [window, "offline"],
      [window, "pageshow"],
      [document, "visibilitychange"],
    ];
  }

  #wake = (event) => {
    const isFirstShow = event.type === "pageshow" && !event.persisted;
    if (!isFirstShow && navigator.onLine && document.visibilityState === "visible") {
      this.watch.wake();
    }
    this.#showLink();
  };

  #changed({ taken }) {
    const { image, state } = this.client;
    if (image && taken.length === 0) {
      this.#former.learnImage(image);
    }
    const teams = teamsOf(image?.fixture);
    let isFeedChanged = false;
    for (const live of taken) {
      this.#former.learn(live.event);
      isFeedChanged = this.#feed.take(live, teams) || isFeedChanged;
    }
    if (isFeedChanged) {
      this.feedView.changed();
    }
    this.problem.hidden = state !== REFUSED;
    setText(this.problem, state === REFUSED ? `This match cannot be shown: ${this.client.refusal}` : "");
    this.#showLink();
    this.#timer ??= setTimeout(() => this.#draw(), this.#isFirst ? 0 : DRAW_EVERY_MS);
  }

  #draw() {
    this.#timer = null;
    const { image } = this.client;
    if (!image || image === this.#shown) {
      return;
    }
    const teams = teamsOf(image.fixture);
    this.scoreboard.show(image);
    this.timeline.show(timelineOf(image, this.#former, teams), { isFirst: this.#isFirst });
    this.numbers.show(image, teams);
    setText(this.seq, `Event ${image.seq.toLocaleString("en")} of this match, in order, none missing.`);
    setText(this.heading, `${teams.home} v ${teams.away}`);
    document.title = `${scoreText(image.score)} ${teams.home} v ${teams.away} · Touchline`;
    if (this.#shown) {
      this.#tell(newsBetween(this.#shown, image, this.#former, teams));
    }
    this.#shown = image;
    this.#isFirst = false;
    this.waiting.hidden = true;
    this.body.hidden = false;
  }

  #tell(news) {
    // The urgent last: a substitution in the same tenth of a second must not cover a goal.
    for (const item of [...news].sort((a, b) => a.isUrgent - b.isUrgent)) {
      this.scoreboard.tell(item);
      (item.isUrgent ? sayNow : sayPolitely)(item.spoken);
    }
  }

  #showLink() {
    this.link.show({
      state: this.client.state,
      latency: this.watch.latency,
      isUnstable: this.watch.isUnstable,
      silentMs: this.watch.silentMs,
      isOffline: !navigator.onLine,
    });
  }
}
