/** Shows what people post and what happens in play; can be held still to read. */
import { element, updateList } from "./dom.js";

const SHOWN = 12;
// Faster, and nobody can read it.
const SHOW_EVERY_MS = 2_000;

export class FeedView {
  #feed;
  #shownAt = -Infinity;
  #timer = null;
  #isHeld = false;

  constructor(feed) {
    this.#feed = feed;
    this.list = element("ol", { class: "feed" });
    this.hold = element("button", { type: "button", class: "hold", "aria-pressed": "false", text: "Pause" });
    this.hold.addEventListener("click", () => this.#toggle());
    this.empty = element("p", { class: "empty", text: "Posts and play appear here as they come." });
    this.root = element(
      "section",
      { class: "panel feed-panel", "aria-labelledby": "feed-title" },
      element("div", { class: "panel-top" }, element("h2", { id: "feed-title", text: "Live feed" }), this.hold),
      this.empty,
      this.list,
    );
  }

  /** The feed changed: show it now, or when the last look is old enough. */
  changed() {
    if (this.#isHeld || this.#timer !== null) {
      return;
    }
    const wait = Math.max(0, this.#shownAt + SHOW_EVERY_MS - Date.now());
    this.#timer = setTimeout(() => this.#show(), wait);
  }

  close() {
    clearTimeout(this.#timer);
  }

  #toggle() {
    this.#isHeld = !this.#isHeld;
    this.hold.setAttribute("aria-pressed", String(this.#isHeld));
    if (!this.#isHeld) {
      this.#show();
    }
  }

  #show() {
    clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#isHeld) {
      return;
    }
    this.#shownAt = Date.now();
    const items = this.#feed.items.slice(0, SHOWN);
    updateList(this.list, items, (item) => (item.kind === "post" ? post(item) : play(item)));
    this.empty.hidden = items.length > 0;
  }
}

function post(item) {
  const language = item.language || null;
  return element(
    "li",
    { class: "post" },
    element(
      "p",
      { class: "post-top" },
      element("bdi", { class: "author", text: item.author ? `@${item.author}` : "A fan" }),
      element("span", { class: "language", title: language, text: languageName(language) }),
    ),
    element("p", { class: "post-text", lang: language, dir: "auto", text: item.text }),
  );
}

function play(item) {
  return element(
    "li",
    { class: `play ${item.side ?? "neither"}` },
    element("span", { class: "minute", text: item.minute }),
    element(
      "p",
      {},
      element("span", { class: "title", text: item.title }),
      ...(item.text ? [" ", element("span", { class: "who", text: item.text })] : []),
      ...(item.detail ? [" ", element("span", { class: "detail", text: item.detail })] : []),
    ),
  );
}

const names = new Intl.DisplayNames(["en"], { type: "language", fallback: "code" });

function languageName(language) {
  try {
    return language ? names.of(language) : "Language unknown";
  } catch {
    return language; // not a tag that the browser can read; the source wrote it
  }
}
