/** Shows how well the connection does: a word and the latency in the bar, a notice when it matters. */
import { element, setText } from "./dom.js";
import { CATCHING_UP, CONNECTING, LIVE, RECONNECTING, REFUSED } from "./match-client.js";
import { sayPolitely } from "./speech.js";

const WORDS = {
  [CONNECTING]: "Connecting",
  [LIVE]: "Live",
  [CATCHING_UP]: "Catching up",
  [RECONNECTING]: "Reconnecting",
  [REFUSED]: "Not connected",
};
const GOOD_MS = 150;
const FAIR_MS = 600;
const NOTICE_STEP_SECONDS = 30;
// A short dip is no news to those who listen.
const LOST_AFTER_MS = 3_000;

export class LinkView {
  #isLostSaid = false;
  #timer = null;

  constructor() {
    this.word = element("span", { class: "link-word" });
    this.latency = element("span", { class: "link-latency" });
    this.root = document.getElementById("link");
    this.notice = document.getElementById("notice");
    this.root.replaceChildren(element("span", { class: "bars", "aria-hidden": "true" }), this.word, this.latency);
    this.root.hidden = false;
  }

  /** Show the state of a MatchClient and its LinkWatch. */
  show({ state, latency, isUnstable, silentMs, isOffline }) {
    const shown = isOffline ? "offline" : isUnstable && state === LIVE ? "unstable" : state;
    setText(this.word, isOffline ? "Offline" : shown === "unstable" ? "Unstable" : WORDS[state]);
    setText(this.latency, state === LIVE && latency !== null && !isOffline ? `${Math.round(latency)} ms` : "");
    this.root.dataset.state = shown.replace(" ", "-");
    this.root.dataset.quality = qualityOf(shown, latency);
    const seconds = Math.floor(silentMs / 1000 / NOTICE_STEP_SECONDS) * NOTICE_STEP_SECONDS;
    setText(this.notice, isUnstable ? `No message for ${seconds} s: connection may be unstable` : "");
    this.notice.hidden = !isUnstable;
    this.#speak(state === LIVE && !isOffline);
  }

  close() {
    clearTimeout(this.#timer);
    this.root.hidden = true;
    this.notice.hidden = true;
  }

  #speak(isWell) {
    if (isWell) {
      clearTimeout(this.#timer);
      this.#timer = null;
      if (this.#isLostSaid) {
        this.#isLostSaid = false;
        sayPolitely("Connected again, nothing was missed.");
      }
    } else if (this.#timer === null && !this.#isLostSaid) {
      this.#timer = setTimeout(() => {
        this.#timer = null;
        this.#isLostSaid = true;
        sayPolitely("No connection. The score may be old; reconnecting.");
      }, LOST_AFTER_MS);
    }
  }
}

function qualityOf(state, latency) {
  if (state !== LIVE) {
    return state === CATCHING_UP ? "fair" : "none";
  }
  if (latency === null) {
    return "fair";
  }
  return latency < GOOD_MS ? "good" : latency < FAIR_MS ? "fair" : "poor";
}
