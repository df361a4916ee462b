/**
 * What a match remembers by id: the page's copy of schemas/incidents.py.
 *
 * Merging takes the maximum over the records of an id, so neither order nor
 * repetition matters. tests/unit/web compares both with the same records.
 */
import { compareLists, compareText } from "./code-points.js";

export const REMEMBERED = new Set([
  "goal",
  "own_goal",
  "penalty_missed",
  "yellow_card",
  "second_yellow_card",
  "red_card",
  "substitution",
  "var",
  "period_start",
  "period_end",
]);
export const GOALS = new Set(["goal", "own_goal"]);
export const SHOOT_OUT = 5;

const CORRECTIONS_KEPT = 64;
const CORRECTIONS_BYTES = 10 * 1024;

const DEFAULTS = {
  reason: "",
  described: -1,
  side: null,
  period: 0,
  clock: 0,
  player: "",
  other_player: "",
  outcome: "",
  insert_before: "",
  added: true,
  seq: 0,
};
const DESCRIPTION = Object.freeze([
  "type",
  "side",
  "period",
  "clock",
  "player",
  "other_player",
  "outcome",
  "insert_before",
]);
const utf8 = new TextEncoder();

/** An incident with every field, from one that leaves its defaults out. */
export function wholeIncident(given) {
  return { ...DEFAULTS, ...given };
}

/** Whether it counts: described, and not taken back. */
export function stands(incident) {
  return incident.described >= 0 && incident.action !== "cancel";
}

/** Whether a record can change what is remembered of its id. */
export function remembers(event) {
  return event.revision > 0 || event.action !== "add" || REMEMBERED.has(event.type);
}

/** What is remembered of an id, or undefined. */
export function knownOf(incidents, corrections, id) {
  return incidents.find((incident) => incident.id === id) ?? corrections.find((incident) => incident.id === id);
}

/** What an add or modify says of an incident, with the names of its fields. */
export function descriptionOf(event) {
  const { body } = event;
  const place = { type: event.type, side: body.side ?? null, period: body.period ?? 0, clock: body.clock ?? 0 };
  if (!REMEMBERED.has(event.type)) {
    return { ...DEFAULTS, ...place };
  }
  return {
    ...place,
    player: body.player ?? "",
    other_player: body.other_player ?? "",
    outcome: body.outcome ?? "",
    insert_before: event.insert_before ?? "",
  };
}

/** What is remembered of an id after a record of it; `seq` is the record's place in the log. */
export function mergedWith(known, event, seq) {
  const { revision, action, type } = event;
  const reason = event.body.reason ?? "";
  const held = known ?? wholeIncident({ id: event.source_event_id, revision: -1, action, type: "", added: false });
  const merged = { ...held };
  const status = [revision, action, reason];
  const heldStatus = [held.revision, held.action, held.reason];
  if (compareLists(status, heldStatus) > 0) {
    Object.assign(merged, { revision, action, reason });
  }
  if (held.described < 0) {
    if (compareLists([...status, type], [...heldStatus, held.type]) > 0) {
      merged.type = type;
    }
    // A cancel may leave the side out, so the latest alone cannot tell it.
    const side = event.body.side ?? "";
    merged.side = (compareText(side, held.side ?? "") > 0 ? side : held.side) || null;
  }
  if (action === "add" || action === "modify") {
    const told = descriptionOf(event);
    if (compareLists([revision, ...fieldsOf(told)], [held.described, ...fieldsOf(held)]) > 0) {
      merged.described = revision;
      for (const field of DESCRIPTION) {
        merged[field] = told[field];
      }
    }
  }
  merged.added ||= action === "add";
  merged.seq = merged.period === SHOOT_OUT ? merged.seq || seq : 0;
  return merged;
}

function fieldsOf(description) {
  return DESCRIPTION.map((field) => description[field] ?? "");
}

/** Forget the oldest corrections beyond either limit; the newest always stays. */
export function latest(corrections) {
  let room = CORRECTIONS_BYTES;
  let kept = 0;
  for (const correction of corrections.slice(-CORRECTIONS_KEPT).reverse()) {
    room -= encodedSize(correction) + 1;
    if (room < 0 && kept > 0) {
      break;
    }
    kept += 1;
  }
  return corrections.slice(-kept);
}

/** Bytes of an incident as the log encodes it, without its defaults; or of a text. */
export function encodedSize(incident) {
  if (typeof incident === "string") {
    return utf8.encode(JSON.stringify(incident)).length;
  }
  const told = Object.entries(incident).filter(([name, value]) => !(name in DEFAULTS) || value !== DEFAULTS[name]);
  return utf8.encode(JSON.stringify(Object.fromEntries(told))).length;
}

/** By match clock, then id; one with `insert_before` right in front of what it names. */
export function ordered(incidents) {
  const placed = [...incidents].sort(
    (a, b) => a.period - b.period || a.clock - b.clock || a.seq - b.seq || compareText(a.id, b.id),
  );
  if (!placed.some((incident) => incident.insert_before)) {
    return placed;
  }
  const inFront = inserted(placed, new Set(placed.map((incident) => incident.id)));
  // The rest names each other in a circle: it stands by its clock.
  return inFront.length < placed.length ? inserted(placed, new Set(inFront.map((i) => i.id))) : inFront;
}

/** Move each one that names a target in front of it; leave out what no fixed place leads to. */
function inserted(placed, targets) {
  const inFront = new Map();
  const stack = [];
  const backwards = [];
  for (const incident of placed) {
    const target = incident.insert_before;
    if (targets.has(target)) {
      inFront.set(target, [...(inFront.get(target) ?? []), incident]);
    } else {
      stack.push(incident);
    }
  }
  while (stack.length > 0) {
    const incident = stack.pop();
    backwards.push(incident);
    stack.push(...(inFront.get(incident.id) ?? []));
  }
  return backwards.reverse();
}
