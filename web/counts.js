/**
 * How many records of each type that is not remembered a match had: the
 * page's copy of schemas/counts.py. Sums, so order does not matter.
 */
import { compareText } from "./code-points.js";
import { REMEMBERED } from "./incidents.js";

const COUNTED_TYPES = 64;
const OTHER = "other";
const NOTHING = [0, 0, 0];

/** The place of a side in a row. */
export function columnOf(side) {
  return side === "home" ? 0 : side === "away" ? 1 : 2;
}

/** Counts and what is owed after `step` more of a type. */
export function counted(counts, owed, kind, column, step) {
  if (!Object.hasOwn(counts, kind) && kind !== OTHER) {
    const types = Object.keys(counts).length - (Object.hasOwn(counts, OTHER) ? 1 : 0);
    if (types >= COUNTED_TYPES) {
      [counts, owed, kind] = withRoom(counts, owed, kind);
    }
  }
  const row = sumOf(counts, owed, kind).map((count, place) => count + (place === column ? step : 0));
  return withRow(counts, owed, kind, row);
}

/** Counts and what is owed after a record of type `kind` changed a remembered id. */
export function recounted(counts, owed, kind, before, after) {
  if (!REMEMBERED.has(kind) && !Object.hasOwn(counts, kind)) {
    [counts, owed] = counted(counts, owed, kind, 0, 0);
  }
  const was = shareOf(before);
  const now = shareOf(after);
  if (was.join() === now.join()) {
    return [counts, owed];
  }
  for (const [[type, column, step], sign] of [[was, -1], [now, 1]]) {
    if (step !== 0) {
      [counts, owed] = counted(counts, owed, type, column, sign * step);
    }
  }
  return [counts, owed];
}

/** What a remembered id adds to the counts: type, column, and the step. */
function shareOf(incident) {
  if (!incident || REMEMBERED.has(incident.type)) {
    return ["", 0, 0];
  }
  const step = (incident.added ? 1 : 0) - (incident.action === "cancel" ? 1 : 0);
  return step === 0 ? ["", 0, 0] : [incident.type, columnOf(incident.side), step];
}

/** Let the last type by name go into `other`: a choice that the order of arrival cannot change. */
function withRoom(counts, owed, kind) {
  const last = Object.keys(counts)
    .filter((name) => name !== OTHER)
    .reduce((a, b) => (compareText(a, b) > 0 ? a : b));
  if (compareText(kind, last) > 0) {
    return [counts, owed, OTHER];
  }
  const moved = sumOf(counts, owed, last);
  const together = sumOf(counts, owed, OTHER).map((count, place) => count + moved[place]);
  return [...withRow(without(counts, last), without(owed, last), OTHER, together), kind];
}

function sumOf(counts, owed, kind) {
  const less = rowOf(owed, kind);
  return rowOf(counts, kind).map((count, place) => count - less[place]);
}

function withRow(counts, owed, kind, row) {
  const less = row.map((count) => Math.max(0, -count));
  const left = without(owed, kind);
  return [
    { ...counts, [kind]: row.map((count) => Math.max(0, count)) },
    less.some((count) => count > 0) ? { ...left, [kind]: less } : left,
  ];
}

function without(rows, kind) {
  const { [kind]: _, ...left } = rows;
  return left;
}

// A type may be called `constructor`.
function rowOf(rows, kind) {
  return Object.hasOwn(rows, kind) ? rows[kind] : NOTHING;
}
