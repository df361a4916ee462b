/**
 * The fold: what a record does to the image of its match. The page's copy of
 * schemas/fold.py: pure, and the same image for the same records whatever
 * their order. tests/unit/web compares both with the same records.
 */
import { compareLists, compareText } from "./code-points.js";
import { REMEMBERED, remember, remembers, stands, wholeIncident } from "./incidents.js";

export const FOLD_VERSION = 1;
const GOALS = new Set(["goal", "own_goal"]);
const SHOOT_OUT = 5;
const COUNTED_TYPES = 64;
const OTHER = "other";
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
  };
}

/** An image as it came over the wire, with the defaults that were left out. */
export function wholeImage(given) {
  return {
    ...given,
    fixture: { ...NO_FIXTURE, ...given.fixture },
    incidents: given.incidents.map(wholeIncident),
    corrections: (given.corrections ?? []).map(wholeIncident),
  };
}

/** Take a record (the `event` of a live event) into the image; returns a new image. */
export function advance(image, event) {
  const seq = image.seq + 1;
  if (event.source !== "broadcast") {
    const counts = event.source === "derived" ? image.counts : counted(image.counts, event, 2);
    return { ...image, seq, counts };
  }
  if (event.type === "fixture") {
    return settled({ ...image, seq, fixture: fixtureWith(image.fixture, event) });
  }
  const counts = REMEMBERED.has(event.type) ? image.counts : counted(image.counts, event, columnOf(event.body));
  const [period, clock] = later(image, event.body);
  if (!remembers(event)) {
    return { ...image, seq, period, clock, counts };
  }
  const [incidents, corrections] = remember(image.incidents, image.corrections, event);
  return settled({ ...image, seq, period, clock, counts, incidents, corrections });
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

/** The furthest clock reading: a maximum, so early or late records do not turn it back. */
function later(image, body) {
  const held = [image.period, image.clock];
  if (body.period == null || body.clock == null) {
    return held;
  }
  const told = [body.period, body.clock];
  return compareLists(told, held) > 0 ? told : held;
}

function columnOf(body) {
  return body.side === "home" ? 0 : body.side === "away" ? 1 : 2;
}

/** Count a record of a type that is not remembered: add +1, cancel -1, so the sum has no order. */
function counted(counts, event, column) {
  const step = event.action === "add" ? 1 : event.action === "cancel" ? -1 : 0;
  if (step === 0) {
    return counts;
  }
  let kind = event.type;
  let row = rowOf(counts, kind);
  if (!row) {
    row = [0, 0, 0];
    const types = Object.keys(counts).length - (Object.hasOwn(counts, OTHER) ? 1 : 0);
    if (kind !== OTHER && types >= COUNTED_TYPES) {
      [counts, kind, row] = withRoom(counts, kind);
    }
  }
  return { ...counts, [kind]: row.map((count, place) => count + (place === column ? step : 0)) };
}

/** Let the last type by name go into `other`: a choice that the order of arrival cannot change. */
function withRoom(counts, kind) {
  const other = rowOf(counts, OTHER) ?? [0, 0, 0];
  const last = Object.keys(counts)
    .filter((name) => name !== OTHER)
    .reduce((a, b) => (compareText(a, b) > 0 ? a : b));
  if (compareText(kind, last) > 0) {
    return [counts, OTHER, other];
  }
  const { [last]: moved, ...left } = counts;
  left[OTHER] = other.map((count, place) => count + moved[place]);
  return [left, kind, [0, 0, 0]];
}

// A type may be called `constructor`.
function rowOf(counts, kind) {
  return Object.hasOwn(counts, kind) ? counts[kind] : undefined;
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
