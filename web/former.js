/**
 * What incidents were before they were corrected, for "was X".
 *
 * An image holds only what is true now, so this learns from the images and
 * records that pass by. By revision, so the order of arrival does not matter.
 */
import { REMEMBERED, descriptionOf } from "./incidents.js";

export class Former {
  #descriptions = new Map(); // id -> revision -> description

  /** Learn what an image says of its incidents. */
  learnImage(image) {
    for (const incident of image.incidents) {
      if (incident.described >= 0) {
        this.#learn(incident.id, incident.described, incident);
      }
    }
  }

  /** Learn what a record says. */
  learn(event) {
    const describes = event.action === "add" || event.action === "modify";
    if (event.source === "broadcast" && describes && REMEMBERED.has(event.type)) {
      this.#learn(event.source_event_id, event.revision, descriptionOf(event));
    }
  }

  /** The latest description that an incident's own one replaced, or null. */
  before(incident) {
    let latest = -1;
    const known = this.#descriptions.get(incident.id) ?? new Map();
    for (const revision of known.keys()) {
      if (revision < incident.described && revision > latest) {
        latest = revision;
      }
    }
    return known.get(latest) ?? null;
  }

  #learn(id, revision, { type, side, player, other_player }) {
    const known = this.#descriptions.get(id) ?? new Map();
    this.#descriptions.set(id, known.set(revision, { type, side, player, other_player }));
  }
}
