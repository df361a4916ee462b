/** The page's composition root: reads where the servers are, and shows what the address asks for. */
import { element } from "./dom.js";
import { ListView } from "./list-view.js";
import { MatchView } from "./match-view.js";
import { io } from "./vendor/socket.io.esm.min.js";

const START_AGAIN_MS = 3_000;
const MATCH = /^#\/match\/(.+)$/;
const main = document.getElementById("main");
let view = null;

let api = "";

function show() {
  const { hash } = window.location;
  if (hash && !hash.startsWith("#/")) {
    return; // an anchor in the page, not another view
  }
  const isFirst = view === null;
  view?.close();
  view = viewOf(hash);
  main.replaceChildren(view.root);
  view.open();
  if (!isFirst) {
    window.scrollTo(0, 0);
    view.heading.focus({ preventScroll: true });
  }
}

function viewOf(hash) {
  const match = matchOf(hash);
  return match === null ? new ListView({ api }) : new MatchView({ match, socket: newSocket() });
}

function matchOf(hash) {
  try {
    const found = MATCH.exec(hash);
    return found ? decodeURIComponent(found[1]) : null;
  } catch {
    return null; // an address that was cut off in the middle of an escape
  }
}

function newSocket() {
  return io({
    autoConnect: false,
    // WebSocket at once: polling first costs a train's slow network three more round trips.
    transports: ["websocket", "polling"],
    tryAllTransports: true,
    reconnectionDelay: 500,
    reconnectionDelayMax: 5_000,
    timeout: 10_000,
  });
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address is the route
  main.focus();
});

async function start() {
  try {
    const answer = await fetch("/config.json");
    ({ api } = await answer.json());
  } catch {
    main.replaceChildren(element("p", { class: "problem", role: "alert", text: "The server does not answer. Trying again." }));
    setTimeout(start, START_AGAIN_MS);
    return;
  }
  window.addEventListener("hashchange", show);
  show();
}

start();
