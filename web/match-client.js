/**
 * One match over a Socket.IO connection: every event once and in order.
 *
 * Joins with what it has, takes events by the cursor rule (at or below mine:
 * drop; next: take; further: fetch the gap), and takes an image instead
 * when the server says so. Hands back the chain that came with its last event:
 * a log that lost what this page has shown is found out by it, and not by
 * numbers. Knows nothing of the page.
 */
import { FOLD_VERSION, advance, emptyImage, wholeImage } from "./fold.js";

export const CONNECTING = "connecting";
export const LIVE = "live";
export const CATCHING_UP = "catching up";
export const RECONNECTING = "reconnecting";
export const REFUSED = "refused";

const ANSWER_WITHIN_MS = 10_000;
// A heartbeat is read from the log and may overtake events that are on their way.
const BEHIND_FOR_MS = 2_000;
const EVENTS_A_PAGE = 500;
// What may wait while a gap is filled; beyond it, the rest is fetched like a gap.
const HELD_MESSAGES = 500;
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 15_000;
// A fold that differs from the log's is a bug, or a page older than the server: do not ask for ever.
const SCORE_RESYNC_EVERY_MS = 60_000;

export class MatchClient {
  #socket;
  #onChange;
  #handlers;
  #life = 0; // answers to asks of an earlier life are void
  #isJoined = false;
  #isFilling = false;
  #held = [];
  #timers = new Set();
  #behind = null;
  #wait = FIRST_WAIT_MS;
  #lastScoreResync = -Infinity;

  state = CONNECTING;
  refusal = "";
  image = null;
  generation = null;
  chain = null; // of the log at `seq`, 32 hex characters; null while nobody said
  resyncReason = "";

  /**
   * `onChange({before, taken})` after each change: the image that was (null
   * at first) and the live events taken since, none when an image replaced them.
   */
  constructor({ socket, match, onChange }) {
    this.match = match;
    this.#socket = socket;
    this.#onChange = onChange;
    this.#handlers = {
      connect: () => this.#join(),
      disconnect: (reason) => this.#lost(reason),
      connect_error: () => this.#become(this.image ? RECONNECTING : CONNECTING),
      events: (message) => this.#isMine(message) && this.#received(message),
      heartbeat: (message) => this.#heardHeads(message.matches ?? {}),
      resync: (message) => this.#isMine(message) && this.#resynced(message),
    };
  }

  get seq() {
    return this.image?.seq ?? 0;
  }

  /** Listen, and join when the connection is there already. */
  start() {
    for (const [event, handler] of Object.entries(this.#handlers)) {
      this.#socket.on(event, handler);
    }
    if (this.#socket.connected) {
      this.#join();
    }
  }

  /** Leave the match and stop listening. */
  close() {
    this.#newLife();
    for (const [event, handler] of Object.entries(this.#handlers)) {
      this.#socket.off(event, handler);
    }
    if (this.#socket.connected) {
      this.#socket.emit("leave", { match: this.match });
    }
  }

  #isMine(message) {
    return message.match === this.match;
  }

  #join({ afresh = false } = {}) {
    this.#newLife();
    this.#become(this.image ? CATCHING_UP : CONNECTING);
    const isKnown = this.image && !afresh;
    const since = isKnown ? { since: { generation: this.generation, seq: this.seq, ...this.#proof() } } : {};
    this.#ask("join", { match: this.match, ...since }, () => this.#join({ afresh }), (answer) => {
      if (!answer.resumed) {
        this.#takeImage(answer, answer.resync);
      }
      this.chain ??= answer.chain ?? null;
      this.#isJoined = true;
      this.#resume();
    });
  }

  #proof() {
    return this.chain ? { chain: this.chain } : {};
  }

  /** Fetch what comes after my seq, page by page. */
  #fill() {
    if (this.#isFilling || !this.#isJoined) {
      return;
    }
    this.#isFilling = true;
    this.#become(CATCHING_UP);
    const ask = {
      match: this.match,
      generation: this.generation,
      after_seq: this.seq,
      limit: EVENTS_A_PAGE,
      ...this.#proof(),
    };
    const again = () => {
      this.#isFilling = false;
      this.#fill();
    };
    this.#ask("backfill", ask, again, (answer) => {
      if (answer.resync) {
        this.#resynced({ ...answer, reason: answer.resync });
        return;
      }
      const progressed = answer.events.length > 0;
      this.#take(ask.after_seq, answer.events, answer.chain);
      if (!answer.complete && progressed) {
        again();
        return;
      }
      this.#isFilling = false;
      this.#resume();
    });
  }

  #received(message) {
    if (!this.#isJoined || this.#isFilling) {
      this.#held.push(message);
      if (this.#held.length > HELD_MESSAGES) {
        this.#held = [];
      }
      return;
    }
    if (message.generation > this.generation) {
      this.#join({ afresh: true });
    } else if (message.generation === this.generation) {
      if (!this.#take(message.prev, message.events, message.chain)) {
        this.#held.push(message);
        this.#fill();
      } else if (this.#isOtherHistory(message.events.at(-1)?.seq, message.chain)) {
        this.#join();
      }
    }
  }

  /** Whether the log has another chain where I stand: what I have seen since some event is not history any more. */
  #isOtherHistory(seq, chain) {
    return seq === this.seq && Boolean(chain && this.chain) && chain !== this.chain;
  }

  /** Take events by the cursor rule, `chain` is at the last of them; false when there is a gap in front of one. */
  #take(prev, events, chain) {
    const before = this.image;
    const taken = [];
    for (const live of events) {
      if (live.seq > this.seq) {
        if (prev > this.seq) {
          break;
        }
        // A channel that leaves events out has gaps in seq, and none in `prev`.
        this.image = { ...advance(this.image, live.event), seq: live.seq };
        taken.push(live);
      }
      prev = live.seq;
    }
    if (taken.length > 0) {
      this.chain = this.seq === events.at(-1).seq ? (chain ?? null) : null;
      this.#onChange({ before, taken });
      this.#compareScore(taken.at(-1));
    }
    return events.length === 0 || this.seq >= events.at(-1).seq;
  }

  /** Each live event carries the log's own score: a page that folds otherwise takes the log's image. */
  #compareScore(live) {
    const { score } = this.image;
    const agrees = score.home === live.score.home && score.away === live.score.away;
    if (!agrees && Date.now() - this.#lastScoreResync > SCORE_RESYNC_EVERY_MS) {
      this.#lastScoreResync = Date.now();
      this.#join({ afresh: true });
    }
  }

  #heardHeads(matches) {
    const head = Object.hasOwn(matches, this.match) ? matches[this.match] : null;
    if (!head || !this.#isJoined) {
      return;
    }
    if (head.generation > this.generation) {
      this.#join({ afresh: true });
    } else if (head.generation === this.generation && this.#isOtherHistory(head.seq, head.chain)) {
      this.#join();
    } else if (head.generation === this.generation && head.seq > this.seq && this.#behind === null) {
      this.#behind = this.#after(BEHIND_FOR_MS, () => {
        this.#behind = null;
        if (this.seq < head.seq) {
          this.#fill();
        }
      });
    }
  }

  #resynced(message) {
    // Of the same generation and further back: another history, of which the chain is the proof.
    const isOlder = message.generation < this.generation;
    if (isOlder || (message.generation === this.generation && message.seq < this.seq && !message.chain)) {
      return;
    }
    this.#newLife();
    this.#takeImage(message, message.reason);
    this.#isJoined = true;
    this.#resume();
  }

  #takeImage(message, reason) {
    const before = this.image;
    this.image = message.image ? wholeImage(message.image) : emptyImage(this.match);
    this.image.seq = message.seq;
    this.generation = message.generation;
    this.chain = message.chain ?? null;
    this.resyncReason = reason ?? "";
    if (this.image.v !== FOLD_VERSION) {
      this.resyncReason = "this page is older than the server: reload it";
    }
    this.#onChange({ before, taken: [] });
  }

  /** Go on after a join or a filled gap, with what came meanwhile. */
  #resume() {
    this.#wait = FIRST_WAIT_MS;
    this.#become(LIVE);
    const held = this.#held;
    this.#held = [];
    for (const message of held) {
      this.#received(message);
    }
  }

  #lost(reason) {
    this.#newLife();
    this.#become(RECONNECTING);
    if (reason === "io server disconnect") {
      // The one case in which the stock client does not come back by itself.
      this.#after(this.#nextWait(), () => this.#socket.connect());
    }
  }

  /** Ask, and ask again later when no answer or "not now" comes; a refusal for good is shown. */
  #ask(event, ask, again, answered) {
    const life = this.#life;
    this.#socket.timeout(ANSWER_WITHIN_MS).emit(event, ask, (error, answer) => {
      if (life !== this.#life) {
        return;
      }
      if (!error && !answer.error) {
        answered(answer);
      } else if (!error && answer.error.code === "invalid") {
        this.refusal = answer.error.message;
        this.#become(REFUSED);
      } else {
        this.#after(this.#nextWait(), () => this.#socket.connected && again());
      }
    });
  }

  #nextWait() {
    const wait = this.#wait * (0.5 + Math.random());
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS);
    return wait;
  }

  #after(milliseconds, task) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      task();
    }, milliseconds);
    this.#timers.add(timer);
    return timer;
  }

  #newLife() {
    this.#life += 1;
    this.#isJoined = false;
    this.#isFilling = false;
    this.#held = [];
    this.#behind = null;
    this.#timers.forEach(clearTimeout);
    this.#timers.clear();
  }

  #become(state) {
    if (this.state !== state) {
      this.state = state;
      this.#onChange({ before: this.image, taken: [] });
    }
  }
}
