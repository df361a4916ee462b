/**
 * The fold: what a record does to the image of its match. The page's copy of
 * schemas/fold.py: pure, and the same image for the same records whatever
 * their order. tests/unit/web compares both with the same records.
 */
import { compareLists, compareText } from "./code-points.js";
import { columnOf, counted, recounted } from "./counts.js";
import {
  GOALS,
  REMEMBERED,
  SHOOT_OUT,
  knownOf,
  latest,
  mergedWith,
  ordered,
  remembers,
  stands,
  wholeIncident,
} from "./incidents.js";
import { fitted, mayEnter } from "./room.js";

export const FOLD_VERSION = 2;
const READINGS_KEPT = 6;
// Seconds on the match clock at which a period's regular time ends.
const REGULAR_END = { 1: 2700, 2: 5400, 3: 6300, 4: 7200 };

const NO_FIXTURE = {
  revision: -1,
  id: "",
  home: "",
  away: "",
  competition: "",
  kick_off: null,
  cancelled: false,
  described: -1,
  described_by: "",
};

/** The image before the first event. */
export function emptyImage(match) {
  return {
    v: FOLD_VERSION,
    match,
    seq: 0,
    fixture: NO_FIXTURE,
    status: "scheduled",
    period: 0,
    clock: 0,
    score: { home: 0, away: 0 },
    shoot_out: { home: 0, away: 0 },
    incidents: [],
    counts: {},
    corrections: [],
    readings: [],
    owed: {},
  };
}

/** An image as it came over the wire, with the defaults that were left out. */
export function wholeImage(given) {
  return {
    ...given,
    fixture: { ...NO_FIXTURE, ...given.fixture },
    incidents: given.incidents.map(wholeIncident),
    corrections: (given.corrections ?? []).map(wholeIncident),
    readings: given.readings ?? [],
    owed: given.owed ?? {},
  };
}

/** Take a record (the `event` of a live event) into the image; returns a new image. */
export function advance(image, event) {
  const next = { ...image, seq: image.seq + 1 };
  if (event.source === "derived") {
    return next;
  }
  if (event.source !== "broadcast") {
    return stepped(next, event, columnOf(null));
  }
  if (event.type === "fixture") {
    return settled({ ...next, fixture: fixtureWith(image.fixture, event) });
  }
  if (remembers(event)) {
    return withIncident(image, event) ?? next;
  }
  const read = event.body.period == null || event.body.clock == null ? next : withReading(next, event);
  return stepped(read, event, columnOf(event.body.side));
}

/** Minute and stoppage time as broadcasters write it: `18'`, `45+2'`. */
export function displayMinute(period, clock) {
  const end = REGULAR_END[period];
  if (end !== undefined && clock >= end) {
    return `${end / 60}+${Math.floor((clock - end) / 60) + 1}'`;
  }
  return `${Math.floor(clock / 60) + 1}'`;
}

/** Whom a goal counts for: an own goal, given with the side of its scorer, for the other. */
export function scoringSide(incident) {
  if (incident.type === "own_goal" && incident.side) {
    return incident.side === "home" ? "away" : "home";
  }
  return incident.side;
}

/** Whether an incident is a goal that stands outside the shoot-out, and so changed the score. */
export function scores(incident) {
  return (
    GOALS.has(incident.type) && stands(incident) && Boolean(incident.side) && incident.period !== SHOOT_OUT
  );
}

/** The score after each incident that stands as a goal: Map of id to {home, away}. */
export function runningScores(image) {
  const after = new Map();
  const score = { home: 0, away: 0 };
  for (const incident of image.incidents.filter(scores)) {
    score[scoringSide(incident)] += 1;
    after.set(incident.id, { ...score });
  }
  return after;
}

function stepped(image, event, column) {
  const step = event.action === "add" ? 1 : event.action === "cancel" ? -1 : 0;
  if (step === 0) {
    return image;
  }
  const [counts, owed] = counted(image.counts, image.owed, event.type, column, step);
  return { ...image, counts, owed };
}

/** Keep the reading of a first word that is not remembered: what is remembered of its id says better. */
function withReading(image, event) {
  const { period, clock } = event.body;
  const id = event.source_event_id;
  if (knownOf(image.incidents, image.corrections, id)) {
    return image;
  }
  const kept = image.readings.some((reading) => compareLists(reading, [period, clock, id]) === 0)
    ? image.readings
    : [...image.readings, [period, clock, id]].sort((a, b) => compareLists(b, a)).slice(0, READINGS_KEPT);
  return moved({ ...image, readings: kept });
}

/** The image with its period and clock at the furthest reading that stands. */
function moved(image) {
  const told = [...image.incidents, ...image.corrections].filter((i) => stands(i) && i.period);
  const readings = [[0, 0], ...told.map((i) => [i.period, i.clock]), ...image.readings.map((r) => r.slice(0, 2))];
  const [period, clock] = readings.reduce((a, b) => (compareLists(b, a) > 0 ? b : a));
  return { ...image, period, clock };
}

/** Merge a record into what is remembered; null when the log would have no room for it. */
function withIncident(image, event) {
  const id = event.source_event_id;
  const seq = image.seq + 1;
  const known = knownOf(image.incidents, image.corrections, id);
  let after = mergedWith(known, event, seq);
  let incidents = image.incidents.filter((incident) => incident !== known);
  let corrections = image.corrections.filter((incident) => incident !== known);
  if (REMEMBERED.has(after.type)) {
    const others = incidents;
    incidents = ordered([...others, after]);
    if (known && after.described < 0 && !mayEnter(incidents, after)) {
      after = { ...after, type: known.type };
      incidents = ordered([...others, after]);
    }
    incidents = fitted(incidents, known, after);
    if (incidents === null) {
      return null;
    }
  } else {
    incidents = ordered(incidents);
    corrections = latest([...corrections, after]);
  }
  const [counts, owed] = recounted(image.counts, image.owed, event.type, known, after);
  const readings = image.readings.filter((reading) => reading[2] !== id);
  return settled(moved({ ...image, seq, incidents, corrections, counts, owed, readings }));
}

function fixtureWith(known, event) {
  const { revision, source_event_id: id, action, body } = event;
  const cancelled = action === "cancel";
  const changed = { ...known };
  if (compareLists([revision, id, cancelled], [known.revision, known.id, known.cancelled]) > 0) {
    Object.assign(changed, { revision, id, cancelled });
  }
  if (action === "add" || action === "modify") {
    const { home = "", away = "", competition = "", kick_off = null } = body;
    const told = [revision, id, home, away, competition, written(kick_off)];
    const held = [known.described, known.described_by, known.home, known.away, known.competition];
    if (compareLists(told, [...held, written(known.kick_off)]) > 0) {
      Object.assign(changed, { described: revision, described_by: id, home, away, competition, kick_off });
    }
  }
  return changed;
}

// As Python's isoformat() writes it.
function written(instant) {
  return (instant ?? "").replace(/Z$/, "+00:00");
}

/** Derive score and status from the incidents. */
function settled(image) {
  const score = { home: 0, away: 0 };
  const shootOut = { home: 0, away: 0 };
  for (const incident of image.incidents) {
    if (GOALS.has(incident.type) && stands(incident) && incident.side) {
      (incident.period === SHOOT_OUT ? shootOut : score)[scoringSide(incident)] += 1;
    }
  }
  return { ...image, score, shoot_out: shootOut, status: statusOf(image) };
}

/** Where the match stands, from the furthest period mark. */
function statusOf(image) {
  if (image.fixture.cancelled) {
    return "cancelled";
  }
  const place = (mark) => [mark.period, mark.type === "period_end", mark.outcome === "full_time"];
  const marks = image.incidents.filter((i) => i.type.startsWith("period_") && stands(i));
  if (marks.length === 0) {
    return "scheduled";
  }
  const last = marks.reduce((a, b) => (compareLists(place(b), place(a)) > 0 ? b : a));
  if (last.type === "period_start") {
    return "live";
  }
  return last.outcome === "full_time" ? "finished" : "break";
}
