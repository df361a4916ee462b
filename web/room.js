/**
 * What the incidents of a match may take of its image, and who gives way when
 * it is full: the page's copy of schemas/room.py.
 *
 * The page takes what the log has, so nothing is refused here.
 */
import { GOALS, encodedSize, stands } from "./incidents.js";

const INCIDENTS_BYTES = 36 * 1024;
const GOALS_BYTES = 24 * 1024;
const BUDGETS = [GOALS_BYTES, INCIDENTS_BYTES - GOALS_BYTES];
const RESERVE_BYTES = 6 * 1024;

const DECIDING = new Set([
  "penalty_missed",
  "second_yellow_card",
  "red_card",
  "var",
  "period_start",
  "period_end",
]);
const GOAL = 0;
const DECIDES = 1;
const REST = 2;
const FULL_TIME = "full_time";

// An incident without texts and with an empty id, every other field at its longest.
const FRAME_BYTES =
  encodedSize({
    id: "",
    revision: 2 ** 53 - 1,
    action: "confirm",
    described: 2 ** 53 - 1,
    type: "second_yellow_card",
    side: "home",
    period: 5,
    clock: 14400,
    outcome: FULL_TIME,
    added: false,
    seq: 2 ** 31 - 1,
  }) - 1; // less the quotes of the id, and with the comma behind it

/** Incidents with `merged` among them, within their bytes; null when the log would refuse it. */
export function fitted(incidents, known, merged) {
  const group = groupOf(merged);
  if ((!known || groupOf(known) !== group) && !isAdmitted(incidents, group, !known)) {
    return null;
  }
  // A list: its brackets, and a comma less than it has incidents.
  const excess = sizeOf(incidents) + 1 - INCIDENTS_BYTES;
  return excess <= 0 ? incidents : shortened(incidents, merged, excess);
}

/** Whether the budget of its group covers `merged`, which is among the incidents. */
export function mayEnter(incidents, merged) {
  const group = groupOf(merged);
  return group === REST || longestOf(incidents.filter((i) => groupOf(i) === group)) <= BUDGETS[group];
}

function isAdmitted(incidents, group, isNew) {
  if (group !== REST) {
    return longestOf(incidents.filter((i) => groupOf(i) === group)) <= BUDGETS[group];
  }
  if (!isNew) {
    return true;
  }
  const deciding = longestOf(incidents.filter((i) => groupOf(i) !== REST));
  const rest = sizeOf(incidents.filter((i) => groupOf(i) === REST).map(withoutTexts));
  return rest + Math.max(deciding, RESERVE_BYTES) <= INCIDENTS_BYTES;
}

/** Take away `excess` bytes: texts of the rest, texts of the others, then the rest itself. */
function shortened(incidents, merged, excess) {
  const kept = new Map(incidents.map((incident) => [incident.id, incident]));
  const isLast = (incident) => Number(incident === merged);
  const byGroup = [...incidents].sort((a, b) => groupOf(b) - groupOf(a) || isLast(a) - isLast(b));
  for (const incident of byGroup) {
    if (excess <= 0) {
      break;
    }
    const short = withoutTexts(incident);
    excess -= encodedSize(incident) - encodedSize(short);
    kept.set(incident.id, short);
  }
  const rest = incidents.filter((incident) => groupOf(incident) === REST);
  rest.sort((a, b) => isLast(a) - isLast(b) || Number(stands(a)) - Number(stands(b)));
  for (const incident of rest) {
    if (excess <= 0) {
      break;
    }
    excess -= encodedSize(kept.get(incident.id)) + 1;
    kept.delete(incident.id);
  }
  return [...kept.values()];
}

function withoutTexts(incident) {
  const outcome = incident.outcome === FULL_TIME ? FULL_TIME : "";
  return { ...incident, reason: "", player: "", other_player: "", outcome, insert_before: "" };
}

function groupOf(incident) {
  return GOALS.has(incident.type) ? GOAL : DECIDING.has(incident.type) ? DECIDES : REST;
}

/** Bytes of incidents at their longest, texts left out. */
function longestOf(incidents) {
  return incidents.reduce((sum, { id }) => sum + FRAME_BYTES + encodedSize(id), 0);
}

function sizeOf(incidents) {
  return incidents.reduce((sum, incident) => sum + encodedSize(incident) + 1, 0);
}
