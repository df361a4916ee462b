/** Says things to those who listen, through the page's two live regions. */
import { element } from "./dom.js";

const KEPT = 3;

/** Read at once: what changes a score. */
export function sayNow(text) {
  addTo("said-now", text);
}

/** Read when the listener pauses: cards, substitutions, the connection. */
export function sayPolitely(text) {
  addTo("said-politely", text);
}

// A paragraph each: the same words twice are read twice, and none is overwritten unread.
function addTo(region, text) {
  const said = document.getElementById(region);
  said.append(element("p", { text }));
  while (said.children.length > KEPT) {
    said.firstElementChild.remove();
  }
}
