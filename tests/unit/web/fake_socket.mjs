// A Socket.IO socket that a test plays the server of: it keeps what was asked, the test answers.

export class FakeSocket {
  connected = false;
  asked = []; // {event, body, answer(value), fail()}
  left = [];
  connects = 0;
  #handlers = new Map();
  #any = new Set();

  on(event, handler) {
    this.#handlers.set(event, [...(this.#handlers.get(event) ?? []), handler]);
  }

  off(event, handler) {
    this.#handlers.set(event, (this.#handlers.get(event) ?? []).filter((other) => other !== handler));
  }

  onAny(handler) {
    this.#any.add(handler);
  }

  offAny(handler) {
    this.#any.delete(handler);
  }

  emit(event, body) {
    this.left.push({ event, body });
  }

  timeout(milliseconds) {
    return {
      emit: (event, body, done) => {
        let isDone = false;
        const once = (error, value) => {
          if (!isDone) {
            isDone = true;
            clearTimeout(timer);
            done(error, value);
          }
        };
        const timer = setTimeout(() => once(new Error("timeout")), milliseconds);
        this.asked.push({ event, body, answer: (value) => once(null, value), fail: () => once(new Error("timeout")) });
      },
    };
  }

  connect() {
    this.connects += 1;
    return this;
  }

  disconnect() {
    this.drop("io client disconnect");
    return this;
  }

  /** The connection is there. */
  arrive() {
    this.connected = true;
    this.#call("connect");
  }

  /** The connection is gone. */
  drop(reason = "transport close") {
    if (this.connected) {
      this.connected = false;
      this.#call("disconnect", reason);
    }
  }

  /** The server says something. */
  say(event, body) {
    this.#any.forEach((handler) => handler(event, body));
    this.#call(event, body);
  }

  /** What was asked last, of one kind. */
  last(event) {
    return this.asked.filter((ask) => ask.event === event).at(-1);
  }

  count(event) {
    return this.asked.filter((ask) => ask.event === event).length;
  }

  #call(event, ...values) {
    (this.#handlers.get(event) ?? []).forEach((handler) => handler(...values));
  }
}
