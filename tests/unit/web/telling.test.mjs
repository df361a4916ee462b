import assert from "node:assert/strict";
import { test } from "node:test";

import { newsBetween } from "../../../web/announce.js";
import { Feed } from "../../../web/feed.js";
import { Former } from "../../../web/former.js";
import { timelineOf } from "../../../web/timeline.js";
import { TEAMS, cancel, change, fixture, goal, imageOf, incident, lived, post } from "./records.mjs";

const start = incident("period_start", "start-1", { side: null, player: "", clock: 0 });
const half = incident("period_end", "end-1", { side: null, player: "", clock: 2760, outcome: "half_time" });
const ana = goal("goal-1", { clock: 600 });
const bo = goal("goal-2", { clock: 1200, side: "away", player: "Bo" });

function formerOf(records) {
  const former = new Former();
  records.forEach((record) => former.learn(record));
  return former;
}

function timeline(records, former = formerOf(records)) {
  return timelineOf(imageOf(records), former, TEAMS);
}

function lineOf(records, id, former) {
  return timeline(records, former).find((line) => line.key === `incident ${id}`);
}

function news(before, after) {
  return newsBetween(imageOf(before), imageOf([...before, ...after]), formerOf([...before, ...after]), TEAMS);
}

test("the timeline stands newest first, with the score each goal made", () => {
  const lines = timeline([fixture(), start, bo, ana, half]);
  assert.deepEqual(lines.map((line) => line.title), ["Half-time", "Goal", "Goal", "Kick-off"]);
  assert.deepEqual(lines.map((line) => line.score), ["1–1", "1–1", "1–0", ""]);
  assert.deepEqual(lines.map((line) => line.minute), ["45+2'", "21'", "11'", ""]);
});

test("a goal that was taken back is struck, says why, and counts no more", () => {
  const lines = timeline([ana, bo, cancel(ana)]);
  assert.equal(lines[1].isStruck, true);
  assert.deepEqual(lines[1].correction, { kind: "back", text: "Goal taken back – VAR: offside" });
  assert.equal(lines[1].score, "");
  assert.equal(lines[0].score, "0–1");
});

test("a cancel that came first strikes its goal when that comes", () => {
  assert.equal(timeline([cancel(ana)]).length, 0);
  assert.equal(lineOf([cancel(ana), ana], "goal-1").isStruck, true);
});

test("a changed scorer says who it was", () => {
  const corrected = change(ana, { player: "Cleo", reason: "scorer changed" });
  const line = lineOf([ana, corrected], "goal-1");
  assert.equal(line.who, "Cleo");
  assert.deepEqual(line.correction, { kind: "changed", text: "Corrected: was Ana" });
});

test("a correction that overtook its goal says who it was all the same", () => {
  assert.equal(lineOf([change(ana, { player: "Cleo" }), ana], "goal-1").correction.text, "Corrected: was Ana");
});

test("who joined after the correction learns the reason instead", () => {
  const corrected = change(ana, { player: "Cleo", reason: "scorer changed" });
  const line = lineOf([ana, corrected], "goal-1", new Former());
  assert.deepEqual(line.correction, { kind: "changed", text: "Corrected – scorer changed" });
});

test("an own goal counts for the other side and names the scorer's", () => {
  const line = lineOf([{ ...ana, type: "own_goal" }], "goal-1");
  assert.equal(line.title, "Own goal");
  assert.equal(line.side, "away");
  assert.equal(line.team, "Girona");
  assert.equal(line.who, "Ana (Barcelona)");
  assert.equal(line.score, "0–1");
});

test("a goal that turns out to be an own goal says so", () => {
  const own = { ...change(ana, { player: "Eric", side: "away" }), type: "own_goal" };
  assert.equal(lineOf([ana, own], "goal-1").correction.text, "Corrected: was goal by Ana");
});

test("a goal that was confirmed says so, and a review that ended is no correction", () => {
  const confirmed = { ...ana, revision: 1, action: "confirm", body: { reason: "VAR: goal stands" } };
  assert.deepEqual(lineOf([ana, confirmed], "goal-1").correction, { kind: "confirmed", text: "VAR: goal stands" });
  const review = incident("var", "var-1", { reason: "possible offside" });
  const line = lineOf([review, change(review, { outcome: "goal_stands" })], "var-1");
  assert.equal(line.correction, null);
  assert.equal(line.detail, "Goal stands – Possible offside");
});

test("a period that both teams begin and end is marked once", () => {
  const again = [{ ...start, source_event_id: "start-b" }, { ...half, source_event_id: "end-b" }];
  const second = incident("period_start", "start-2", { side: null, period: 2, clock: 2700, player: "" });
  const lines = timeline([start, half, ...again, second]);
  assert.deepEqual(lines.map((line) => line.title), ["Half-time", "Kick-off"]);
});

test("full time is full time, whoever says it", () => {
  const end = incident("period_end", "end-2", { side: null, period: 2, clock: 5500, outcome: "full_time" });
  assert.equal(timeline([end])[0].title, "Full time");
});

test("a goal is urgent news with the score it made", () => {
  const [item, ...more] = news([fixture(), ana], [bo]);
  assert.deepEqual(more, []);
  assert.equal(item.kind, "goal");
  assert.equal(item.isUrgent, true);
  assert.equal(item.headline, "Goal for Girona");
  assert.deepEqual(item.scores, ["1–0", "1–1"]);
  assert.equal(item.spoken, "Goal for Girona, Bo, 21'. Barcelona 1, Girona 1.");
});

test("a reversal is urgent news with the reason and the score that is back", () => {
  const [item] = news([ana, bo], [cancel(bo)]);
  assert.equal(item.kind, "back");
  assert.equal(item.headline, "Goal taken back – VAR: offside");
  assert.deepEqual(item.scores, ["1–1", "1–0"]);
  assert.match(item.spoken, /^Goal taken back – VAR: offside, Bo, 21'\. Barcelona 1, Girona 0\.$/);
});

test("a goal that came and went between two looks is no news", () => {
  assert.deepEqual(news([ana], [bo, cancel(bo)]), []);
});

test("a goal that becomes a shot is taken back", () => {
  const shot = { ...change(ana, {}), type: "shot" };
  const [item] = news([ana], [shot]);
  assert.equal(item.kind, "back");
  assert.equal(item.isUrgent, true);
});

test("a goal that is given after all is news again", () => {
  const again = { ...change(cancel(ana), { player: "Ana" }), action: "modify" };
  assert.equal(news([ana, cancel(ana)], [again])[0].headline, "Goal given after all");
});

test("cards, substitutions and marks are news that can wait", () => {
  const card = incident("yellow_card", "card-1", { clock: 700, reason: "dissent" });
  const kinds = news([ana], [card, half]).map(({ headline, isUrgent }) => [headline, isUrgent]);
  assert.deepEqual(kinds, [["Yellow card", false], ["Half-time", false]]);
});

test("a changed scorer is news without a score", () => {
  const [item] = news([ana], [change(ana, { player: "Cleo" })]);
  assert.equal(item.kind, "changed");
  assert.equal(item.scores, undefined);
  assert.equal(item.isUrgent, false);
});

test("nothing new is no news", () => {
  assert.deepEqual(news([ana, bo], []), []);
});

test("the feed holds the latest posts once, in their latest words", () => {
  const feed = new Feed();
  const { events } = lived([post("a"), post("b"), post("a", { text: "edited", revision: 1 }), post("a")]);
  events.forEach((live) => feed.take({ ...live, language: "es" }, TEAMS));
  assert.deepEqual(feed.items.map(({ text, language }) => [text, language]), [["¡Golazo!", "es"], ["edited", "es"]]);
});

test("a post that was withdrawn leaves the feed", () => {
  const feed = new Feed();
  lived([post("a"), post("a", { revision: 1, action: "cancel" })]).events.forEach((live) => feed.take(live, TEAMS));
  assert.deepEqual(feed.items, []);
});

test("passes and readings are no part of the feed", () => {
  const feed = new Feed();
  const [pass] = lived([incident("pass", "p")]).events;
  assert.equal(feed.take({ ...pass, importance: 1 }, TEAMS), false);
  assert.equal(feed.take({ ...pass, event: { ...pass.event, source: "sensors" }, importance: 9 }, TEAMS), false);
  assert.equal(feed.take({ ...pass, importance: 3 }, TEAMS), true);
});
