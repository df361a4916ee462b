// Records and live events to build tests from.
import { advance, emptyImage } from "../../../web/fold.js";

export const MATCH = "fra-2031";
export const TEAMS = { home: "Barcelona", away: "Girona" };

/** A broadcast record; a test says only what matters to it. */
export function incident(type, id, { revision = 0, action = "add", insert_before = null, ...body } = {}) {
  return {
    source: "broadcast",
    match: MATCH,
    source_event_id: id,
    revision,
    action,
    type,
    insert_before,
    body: { side: "home", period: 1, clock: 600, player: "Ana", ...body },
  };
}

export function fixture() {
  return incident("fixture", "fixture", { side: null, player: "", ...TEAMS });
}

export function goal(id, told = {}) {
  return incident("goal", id, told);
}

/** The next revision, which takes the record back. */
export function cancel(record, reason = "VAR: offside") {
  return { ...record, revision: record.revision + 1, action: "cancel", body: { side: record.body.side, reason } };
}

export function change(record, told) {
  return { ...record, revision: record.revision + 1, action: "modify", body: { ...record.body, ...told } };
}

export function post(id, { text = "¡Golazo!", revision = 0, action = "add" } = {}) {
  return { source: "social", source_event_id: id, revision, action, type: "post", body: { author: "ana", text } };
}

/** What the gateway sends for records: their live events from `seq` 1, and the image after the last. */
export function lived(records) {
  let image = emptyImage(MATCH);
  const events = records.map((event) => {
    image = advance(image, event);
    return { seq: image.seq, event_id: `event-${image.seq}`, event, score: image.score, importance: 9, language: "und", minute: "" };
  });
  return { events, image };
}

export function imageOf(records) {
  return lived(records).image;
}
