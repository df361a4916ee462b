// A fan with the stock Socket.IO client, who writes down everything it is sent.
//
//   node count.mjs URL MATCH
//
// One JSON object a line on standard output: `ready` once it has joined, then
// `event` for each event it takes, in order of seq, and `again` when another
// life of the log makes it start over. Ends when standard input closes, with a
// `summary`: what came twice, what was missing and had to be asked for.

import { createRequire } from "node:module";

// The page's copy of the client: one version, one lock file.
const require = createRequire(new URL("../../web/package.json", import.meta.url));
const { io } = require("socket.io-client");

const [url, match] = process.argv.slice(2);
const PAGE = 500;
const ANSWER_WITHIN_MS = 5_000;
const ASK_AGAIN_AFTER_MS = 250;

const log = { generation: 0, seq: 0, chain: null }; // what we have, up to and with `seq`
const summary = { kind: "summary", taken: 0, repeated: 0, holes: 0, backfilled: 0, joins: 0, resyncs: 0, reasons: [] };
const seen = new Map(); // event id -> seq, of this life
// What we asked for ourselves may still be on its way to us, so up to here nothing counts as sent twice.
let askedUpTo = 0;

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

function startOver(generation, reason) {
  summary.resyncs += 1;
  summary.reasons.push(reason);
  Object.assign(log, { generation, seq: 0, chain: null });
  seen.clear();
  say({ kind: "again", generation, reason });
}

// Take an event that follows what we have; anything else is counted and left.
function take(event) {
  if (event.seq <= log.seq) {
    if (event.seq > askedUpTo) summary.repeated += 1;
    return;
  }
  if (seen.has(event.event_id)) summary.reasons.push(`${event.event_id} came as seq ${seen.get(event.event_id)} and ${event.seq}`);
  seen.set(event.event_id, event.seq);
  log.seq = event.seq;
  summary.taken += 1;
  say({ kind: "event", event });
}

const proof = () => (log.chain ? { chain: log.chain } : {});

// The chain came with the event `seq`: it is ours once we have taken that.
function prove(seq, chain) {
  if (log.seq === seq) log.chain = chain ?? null;
}

async function ask(name, question) {
  for (;;) {
    try {
      const answer = await socket.timeout(ANSWER_WITHIN_MS).emitWithAck(name, question());
      if (!answer.error) return answer;
      summary.reasons.push(`${name}: ${answer.error.code}`);
    } catch {
      // No answer: the gateway went away in between, and the client connects again by itself. Or it is
      // slow, and hears a join twice.
      if (name === "join") askedUpTo = Number.MAX_SAFE_INTEGER;
    }
    await pause(ASK_AGAIN_AFTER_MS);
  }
}

// Read from what we have up to `seq`, or to the head when there is none.
async function fill(upTo) {
  for (;;) {
    const page = await ask("backfill", () => ({ match, generation: log.generation, after_seq: log.seq, limit: PAGE, ...proof() }));
    if (page.resync) {
      startOver(page.generation, page.resync);
      continue;
    }
    for (const event of page.events) {
      summary.backfilled += 1;
      askedUpTo = Math.max(askedUpTo, event.seq);
      if (event.seq === log.seq + 1) take(event);
      else if (event.seq > log.seq) throw new Error(`backfill after ${log.seq} begins with ${event.seq}`);
    }
    if (page.events.length > 0) prove(page.events.at(-1).seq, page.chain);
    if (upTo === undefined ? page.complete : log.seq >= upTo || page.complete) return;
  }
}

// One thing at a time, in the order it came.
let turn = Promise.resolve();
const inTurn = (work) => {
  turn = turn.then(work).catch((error) => {
    summary.reasons.push(String(error));
  });
};

async function onEvents(message) {
  if (message.match !== match) return;
  if (message.generation !== log.generation) {
    if (log.seq > 0) startOver(message.generation, "events of another generation");
    log.generation = message.generation;
  }
  if (message.prev > log.seq) {
    summary.holes += 1;
    await fill(message.prev);
  }
  let expected = message.prev;
  for (const event of message.events) {
    expected += 1;
    if (event.seq !== expected) summary.reasons.push(`after ${expected - 1} in one message came ${event.seq}`);
    take(event);
  }
  if (message.events.length > 0) prove(message.events.at(-1).seq, message.chain);
}

async function join() {
  summary.joins += 1;
  askedUpTo = log.seq;
  const since = () => (log.seq > 0 ? { generation: log.generation, seq: log.seq, ...proof() } : undefined);
  const answer = await ask("join", () => ({ match, since: since() }));
  if (!answer.resumed) {
    if (log.seq > 0) startOver(answer.generation, answer.resync ?? "joined anew");
    log.generation = answer.generation;
    // The image is a fold of what we want to count, so we ask for all of it.
    if (answer.seq > 0) await fill(answer.seq);
  }
  say({ kind: "ready", generation: log.generation, seq: log.seq });
}

const socket = io(url, { transports: ["websocket"], reconnectionDelay: 100, reconnectionDelayMax: 1_000 });
socket.on("connect", () => inTurn(join));
socket.on("events", (message) => inTurn(() => onEvents(message)));
socket.on("resync", (message) =>
  inTurn(async () => {
    if (message.match !== match) return;
    startOver(message.generation, message.reason);
    if (message.seq > 0) await fill(message.seq);
  }),
);
// What the log has by now, although nothing came: a fan asks for it.
socket.on("heartbeat", ({ matches }) =>
  inTurn(async () => {
    const head = matches[match];
    if (head && head.generation === log.generation && head.seq > log.seq) {
      summary.holes += 1;
      await fill(head.seq);
    }
  }),
);

process.stdin.on("end", () =>
  inTurn(() => {
    say(summary);
    socket.close();
  }),
);
process.stdin.resume();
