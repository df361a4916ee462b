/**
 * How well the connection does: measured latency, and how long nothing has come.
 *
 * The server beats every 5 s, so silence means something. A phone that lost
 * its network often keeps a dead connection for a minute; here a ping that
 * nobody answers ends it earlier.
 */
const LOOK_EVERY_MS = 5_000;
const PING_EVERY_MS = 10_000;
const PONG_WITHIN_MS = 8_000;
const PONG_WITHIN_AFTER_WAKING_MS = 3_000;
// Three heartbeats and an unanswered ping: connect anew.
const SILENT_MS = 15_000;
export const UNSTABLE_MS = 90_000;

export class LinkWatch {
  #socket;
  #onChange;
  #now;
  #heardAt;
  #pingedAt = -Infinity;
  #timer = null;
  #handlers;

  latency = null; // milliseconds there and back, null when not known

  /** `now` returns milliseconds; `onChange` is called when the latency or the silence is another. */
  constructor({ socket, onChange, now }) {
    this.#socket = socket;
    this.#onChange = onChange;
    this.#now = now;
    this.#heardAt = now();
    this.#handlers = {
      connect: () => this.#ping(PONG_WITHIN_MS),
      disconnect: () => this.#measured(null),
    };
  }

  /** Whether nothing came for so long that a fan should know. */
  get isUnstable() {
    return this.silentMs >= UNSTABLE_MS;
  }

  get silentMs() {
    return this.#now() - this.#heardAt;
  }

  start() {
    for (const [event, handler] of Object.entries(this.#handlers)) {
      this.#socket.on(event, handler);
    }
    this.#socket.onAny(this.#heard);
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
    if (this.#socket.connected) {
      this.#ping(PONG_WITHIN_MS);
    }
  }

  stop() {
    for (const [event, handler] of Object.entries(this.#handlers)) {
      this.#socket.off(event, handler);
    }
    this.#socket.offAny(this.#heard);
    clearInterval(this.#timer);
    this.#timer = null;
  }

  /** After sleep or a change of network: find out now whether the connection is still one. */
  wake() {
    if (this.#socket.connected) {
      this.#ping(PONG_WITHIN_AFTER_WAKING_MS, { isDoubted: true });
    } else {
      // Not connect() alone: that would wait for the stock client's next try.
      this.#socket.disconnect().connect();
    }
  }

  #heard = () => {
    const wasUnstable = this.isUnstable;
    this.#heardAt = this.#now();
    if (wasUnstable) {
      this.#onChange();
    }
  };

  #look() {
    if (this.isUnstable) {
      this.#onChange();
    }
    if (this.#socket.connected && this.#now() - this.#pingedAt >= PING_EVERY_MS) {
      this.#ping(PONG_WITHIN_MS);
    }
  }

  #ping(within, { isDoubted = false } = {}) {
    const sent = this.#now();
    this.#pingedAt = sent;
    this.#socket.timeout(within).emit("ping", { t: Math.round(sent) }, (error) => {
      if (this.#timer === null) {
        return; // stopped meanwhile
      }
      if (!error) {
        this.#heard();
        this.#measured(Math.max(0, this.#now() - sent));
        return;
      }
      this.#measured(null);
      if (this.#socket.connected && (isDoubted || this.silentMs >= SILENT_MS)) {
        this.#socket.disconnect().connect();
      }
    });
  }

  #measured(latency) {
    this.latency = latency;
    this.#onChange();
  }
}
