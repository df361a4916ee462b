/** The latest of what people post and what happens in play, newest first. Pure but for its own memory. */
import { scoringSide } from "./fold.js";
import { readable, titleOf, whoText } from "./words.js";

// Importance comes with each live event: 3 is a corner or a foul, below are passes and readings.
const LEAST_IMPORTANCE = 3;
const KEPT = 40;
const UNKNOWN_LANGUAGE = "und";
const ACTION_WORDS = { cancel: "taken back", modify: "corrected", confirm: "confirmed" };

export class Feed {
  #items = [];

  /** The items, newest first. */
  get items() {
    return this.#items;
  }

  /** Take a live event; returns whether the feed changed. */
  take(live, teams) {
    const item = live.event.source === "social" ? postOf(live) : playOf(live, teams);
    if (!item) {
      return false;
    }
    const known = this.#items.find((other) => other.key === item.key);
    if (known && known.revision > item.revision) {
      return false;
    }
    const others = known ? this.#items.filter((other) => other !== known) : this.#items;
    if (item.isRemoved) {
      this.#items = others;
    } else if (known) {
      this.#items = this.#items.map((other) => (other === known ? item : other));
    } else {
      this.#items = [item, ...others].slice(0, KEPT);
    }
    return true;
  }
}

function postOf({ event, language, minute }) {
  return {
    key: `post ${event.source_event_id}`,
    revision: event.revision,
    kind: "post",
    isRemoved: event.action === "cancel",
    minute,
    author: event.body.author ?? "",
    text: event.body.text ?? "",
    language: language === UNKNOWN_LANGUAGE ? (event.body.language ?? "") : language,
  };
}

function playOf({ event, event_id: key, importance, minute }, teams) {
  if (event.source !== "broadcast" || importance < LEAST_IMPORTANCE || event.type === "fixture") {
    return null;
  }
  const incident = { ...event.body, type: event.type, player: event.body.player ?? "" };
  const action = ACTION_WORDS[event.action];
  const reason = action && event.body.reason ? `: ${event.body.reason}` : "";
  return {
    key,
    revision: event.revision,
    kind: "play",
    minute,
    side: scoringSide(incident) ?? null,
    title: action ? `${titleOf(incident)} ${action}${reason}` : titleOf(incident),
    text: whoText(incident, teams),
    detail: incident.outcome && event.type === "shot" ? readable(incident.outcome) : "",
  };
}
