import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { LinkWatch } from "../../../web/link-watch.js";
import { FakeSocket } from "./fake_socket.mjs";

let socket;
let watch;
let changes;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  socket = new FakeSocket();
  changes = 0;
  watch = new LinkWatch({ socket, onChange: () => (changes += 1), now: () => Date.now() });
  watch.start();
});

// In steps, so that a timer set by a timer counts from its own time.
function pass(milliseconds) {
  for (let left = milliseconds; left > 0; left -= 500) {
    mock.timers.tick(500);
  }
}

function beatUntil(end) {
  while (Date.now() < end) {
    mock.timers.tick(5_000);
    socket.say("heartbeat", {});
  }
}

test("measures the latency at once, and every ten seconds", () => {
  socket.arrive();
  mock.timers.tick(42);
  socket.last("ping").answer({ t: 0, at: "" });
  assert.equal(watch.latency, 42);
  mock.timers.tick(15_000);
  assert.equal(socket.count("ping"), 2);
});

test("no message for 90 s makes the connection unstable, the next message makes it well", () => {
  mock.timers.tick(89_999);
  assert.equal(watch.isUnstable, false);
  changes = 0;
  mock.timers.tick(1);
  assert.equal(watch.isUnstable, true);
  assert.equal(changes, 1);
  socket.say("heartbeat", {});
  assert.equal(watch.isUnstable, false);
  assert.equal(changes, 2);
});

test("heartbeats alone keep it stable", () => {
  socket.arrive();
  beatUntil(300_000);
  assert.equal(watch.isUnstable, false);
  assert.equal(socket.connects, 0);
});

test("silence and an unanswered ping end a dead connection", () => {
  socket.arrive();
  socket.last("ping").answer({ t: 0, at: "" });
  pass(18_000);
  assert.equal(socket.connects, 1);
});

test("an unanswered ping alone does not, while events come", () => {
  socket.arrive();
  beatUntil(60_000);
  assert.equal(watch.latency, null);
  assert.equal(socket.connects, 0);
});

test("waking up on a dead connection connects anew within seconds", () => {
  socket.arrive();
  socket.last("ping").answer({ t: 0, at: "" });
  watch.wake();
  mock.timers.tick(3_000);
  assert.equal(socket.connects, 1);
});

test("waking up without a connection does not wait for the next try", () => {
  watch.wake();
  assert.equal(socket.connects, 1);
});

test("a lost connection has no latency", () => {
  socket.arrive();
  socket.last("ping").answer({ t: 0, at: "" });
  socket.drop();
  assert.equal(watch.latency, null);
});

test("a watch that was stopped does nothing more", () => {
  socket.arrive();
  watch.stop();
  const asked = socket.count("ping");
  changes = 0;
  pass(200_000);
  assert.equal(socket.count("ping"), asked);
  assert.equal(socket.connects, 0);
});
