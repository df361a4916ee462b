import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { CATCHING_UP, LIVE, MatchClient, RECONNECTING, REFUSED } from "../../../web/match-client.js";
import { FakeSocket } from "./fake_socket.mjs";
import { MATCH, cancel, goal, imageOf, lived } from "./records.mjs";

const GENERATION = 7;
const goals = Array.from({ length: 9 }, (_, n) => goal(`goal-${n + 1}`, { clock: 60 * n }));
const { events } = lived(goals);

let socket;
let client;
let taken;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  socket = new FakeSocket();
  taken = [];
  const onChange = (change) => taken.push(...change.taken.map((live) => live.seq));
  client = new MatchClient({ match: MATCH, socket, onChange });
  client.start();
});

function say(from, to, { generation = GENERATION, prev = from - 1, chain } = {}) {
  socket.say("events", { match: MATCH, generation, prev, chain, events: events.slice(from - 1, to) });
}

function joinAt(seq, chain) {
  socket.arrive();
  socket.last("join").answer({ match: MATCH, generation: GENERATION, seq, chain, image: imageOf(goals.slice(0, seq)) });
}

function beat(seq, generation = GENERATION, chain = undefined) {
  socket.say("heartbeat", { at: "", matches: { [MATCH]: { generation, seq, chain } } });
}

test("joins with nothing, and goes on from the image", () => {
  joinAt(2);
  assert.deepEqual(socket.last("join").body, { match: MATCH });
  say(3, 4);
  assert.equal(client.state, LIVE);
  assert.deepEqual(taken, [3, 4]);
  assert.deepEqual(client.image.score, { home: 4, away: 0 });
});

test("a match that nobody knows yet starts empty, and its events follow", () => {
  socket.arrive();
  socket.last("join").answer({ match: MATCH, generation: GENERATION, seq: 0, image: null });
  say(1, 1);
  assert.deepEqual(taken, [1]);
});

test("events that come twice are taken once", () => {
  joinAt(2);
  say(3, 4);
  say(2, 5);
  say(3, 4);
  assert.deepEqual(taken, [3, 4, 5]);
  assert.equal(socket.count("backfill"), 0);
});

test("a hole is filled before what came after it is taken", () => {
  joinAt(2);
  say(6, 6);
  assert.equal(client.state, CATCHING_UP);
  say(7, 8);
  assert.deepEqual(taken, []);
  const ask = socket.last("backfill");
  assert.deepEqual(ask.body, { match: MATCH, generation: GENERATION, after_seq: 2, limit: 500 });
  ask.answer({ match: MATCH, generation: GENERATION, events: events.slice(2, 5), head_seq: 8, complete: true });
  assert.deepEqual(taken, [3, 4, 5, 6, 7, 8]);
  assert.equal(client.state, LIVE);
});

test("a long hole is filled page by page", () => {
  joinAt(0);
  say(9, 9);
  socket.last("backfill").answer({ events: events.slice(0, 4), head_seq: 9, complete: false });
  assert.equal(socket.last("backfill").body.after_seq, 4);
  socket.last("backfill").answer({ events: events.slice(4, 9), head_seq: 9, complete: true });
  assert.deepEqual(taken, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test("a channel that leaves events out has no holes", () => {
  joinAt(2);
  const left = [events[3], events[6]]; // seq 4 and 7
  socket.say("events", { match: MATCH, generation: GENERATION, prev: 2, events: left });
  assert.deepEqual(taken, [4, 7]);
  assert.equal(client.seq, 7);
  assert.equal(socket.count("backfill"), 0);
});

test("a heartbeat that is ahead for more than 2 s brings a backfill", () => {
  joinAt(2);
  beat(4);
  mock.timers.tick(1_999);
  assert.equal(socket.count("backfill"), 0);
  mock.timers.tick(1);
  assert.equal(socket.last("backfill").body.after_seq, 2);
});

test("a heartbeat that overtook its events brings none", () => {
  joinAt(2);
  beat(4);
  say(3, 4);
  mock.timers.tick(10_000);
  assert.equal(socket.count("backfill"), 0);
});

const chainAt = (seq, history = "a") => history.repeat(30) + String(seq).padStart(2, "0");

function joinWithChain(seq) {
  joinAt(seq, chainAt(seq));
  return chainAt(seq);
}

test("the chain of the last event is handed back, in joins and in backfills", () => {
  const chain = joinWithChain(2);
  say(6, 6, { chain: chainAt(6) });
  const ask = socket.last("backfill");
  assert.equal(ask.body.chain, chain);
  ask.answer({ generation: GENERATION, events: events.slice(2, 5), head_seq: 6, complete: true, chain: chainAt(5) });
  assert.equal(client.seq, 6);
  say(2, 4, { chain: chainAt(4) });
  socket.drop();
  socket.arrive();
  assert.deepEqual(socket.last("join").body.since, { generation: GENERATION, seq: 6, chain: chainAt(6) });
});

test("a gateway that says no chains is asked without them", () => {
  joinWithChain(2);
  say(3, 3);
  socket.drop();
  socket.arrive();
  assert.deepEqual(socket.last("join").body.since, { generation: GENERATION, seq: 3 });
  socket.last("join").answer({ match: MATCH, generation: GENERATION, seq: 3, chain: chainAt(3), resumed: true });
  assert.equal(client.chain, chainAt(3));
});

test("an image of another history replaces what is here, though it is further back in the same generation", () => {
  joinWithChain(4);
  const image = imageOf(goals.slice(0, 2));
  socket.say("resync", { match: MATCH, reason: "history", generation: GENERATION, seq: 2, chain: chainAt(2, "b"), image });
  assert.equal(client.seq, 2);
  say(3, 3, { chain: chainAt(3, "b") });
  assert.deepEqual(taken, [3]);
  assert.deepEqual(client.image.score, { home: 3, away: 0 });
});

test("another chain at my seq brings a join that proves what I have", () => {
  joinWithChain(4);
  const since = { generation: GENERATION, seq: 4, chain: chainAt(4) };
  beat(4, GENERATION, chainAt(4));
  assert.equal(socket.count("join"), 1);
  beat(4, GENERATION, chainAt(4, "b"));
  assert.equal(socket.count("join"), 2);
  assert.deepEqual(socket.last("join").body, { match: MATCH, since });
  socket.last("join").answer({ match: MATCH, generation: GENERATION, seq: 4, chain: chainAt(4), resumed: true });
  say(3, 4, { chain: chainAt(4, "b") });
  assert.equal(socket.count("join"), 3);
  assert.deepEqual(socket.last("join").body, { match: MATCH, since });
});

test("after a lost connection it joins with what it has, and misses nothing", () => {
  joinAt(2);
  say(3, 3);
  socket.drop();
  assert.equal(client.state, RECONNECTING);
  socket.arrive();
  assert.deepEqual(socket.last("join").body.since, { generation: GENERATION, seq: 3 });
  socket.last("join").answer({ match: MATCH, generation: GENERATION, seq: 3, resumed: true });
  say(4, 6);
  assert.deepEqual(taken, [3, 4, 5, 6]);
});

test("events that overtake the answer to the join wait for it", () => {
  socket.arrive();
  say(3, 4);
  socket.last("join").answer({ match: MATCH, generation: GENERATION, seq: 2, image: imageOf(goals.slice(0, 2)) });
  assert.deepEqual(taken, [3, 4]);
});

test("an answer of an earlier connection is void", () => {
  socket.arrive();
  const old = socket.last("join");
  socket.drop();
  socket.arrive();
  old.answer({ match: MATCH, generation: 1, seq: 9, image: imageOf(goals) });
  assert.equal(client.image, null);
});

test("a resync replaces all, and events go on after it", () => {
  joinAt(2);
  socket.say("resync", { match: MATCH, reason: "slow", generation: 8, seq: 5, image: imageOf(goals.slice(0, 5)) });
  assert.equal(client.resyncReason, "slow");
  say(6, 6, { generation: 8 });
  assert.deepEqual(taken, [6]);
  assert.deepEqual(client.image.score, { home: 6, away: 0 });
});

test("a resync that is older than what is here changes nothing", () => {
  joinAt(4);
  socket.say("resync", { match: MATCH, reason: "slow", generation: GENERATION, seq: 2, image: imageOf([]) });
  assert.equal(client.seq, 4);
});

test("events or a heartbeat of a newer log life bring a fresh image", () => {
  joinAt(4);
  say(5, 5, { generation: 8 });
  assert.deepEqual(socket.last("join").body, { match: MATCH });
  socket.last("join").answer({ match: MATCH, generation: 8, seq: 1, image: imageOf(goals.slice(0, 1)) });
  assert.equal(client.seq, 1);
  beat(3, 9);
  assert.equal(socket.count("join"), 3);
});

test("events of an older log life are dropped", () => {
  joinAt(4);
  say(5, 5, { generation: 6 });
  assert.deepEqual(taken, []);
  assert.equal(socket.count("join"), 1);
});

test("a backfill into another log life ends in its image", () => {
  joinAt(2);
  say(6, 6);
  const image = imageOf(goals.slice(0, 1));
  socket.last("backfill").answer({ match: MATCH, generation: 8, seq: 1, image, resync: "other generation" });
  assert.equal(client.generation, 8);
  assert.equal(client.seq, 1);
  assert.equal(client.state, LIVE);
});

test("an ask without an answer is asked again, later each time", () => {
  socket.arrive();
  mock.timers.tick(10_000);
  mock.timers.tick(1_500);
  assert.equal(socket.count("join"), 2);
  socket.last("join").answer({ error: { code: "unavailable", message: "the log is out of reach" } });
  mock.timers.tick(3_000);
  assert.equal(socket.count("join"), 3);
});

test("a refusal for good is said, and not asked again", () => {
  socket.arrive();
  socket.last("join").answer({ error: { code: "invalid", message: "match: too long" } });
  assert.equal(client.state, REFUSED);
  assert.equal(client.refusal, "match: too long");
  mock.timers.tick(60_000);
  assert.equal(socket.count("join"), 1);
});

test("when the server closes the connection, it comes back by itself", () => {
  joinAt(1);
  socket.drop("io server disconnect");
  mock.timers.tick(1_500);
  assert.equal(socket.connects, 1);
});

test("a score that differs from the log's brings the log's image, once a minute", () => {
  joinAt(2);
  mock.timers.tick(60_001);
  const wrong = { ...events[2], score: { home: 0, away: 9 } };
  socket.say("events", { match: MATCH, generation: GENERATION, prev: 2, events: [wrong] });
  assert.equal(socket.count("join"), 2);
  socket.last("join").answer({ match: MATCH, generation: GENERATION, seq: 3, image: imageOf(goals.slice(0, 3)) });
  socket.say("events", { match: MATCH, generation: GENERATION, prev: 3, events: [{ ...events[3], score: wrong.score }] });
  assert.equal(socket.count("join"), 2);
});

test("a cancel takes the goal off the score", () => {
  joinAt(2);
  const { events: all } = lived([...goals.slice(0, 2), cancel(goals[1])]);
  socket.say("events", { match: MATCH, generation: GENERATION, prev: 2, events: [all[2]] });
  assert.deepEqual(client.image.score, { home: 1, away: 0 });
});

test("closing leaves the match and hears nothing more", () => {
  joinAt(2);
  client.close();
  say(3, 3);
  assert.deepEqual(taken, []);
  assert.deepEqual(socket.left, [{ event: "leave", body: { match: MATCH } }]);
});
