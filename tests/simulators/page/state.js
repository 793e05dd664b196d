// What the server told last, and how to tell it something.

import { complain } from "./dom.js";

const CALLS_KEPT = 400;
const LINES_KEPT = 500;

/** The last known state of every part. */
export const state = {
  slack: null,
  teleport: null,
  worker: null,
  calls: new Map(),
  log: [],
  emoji: {},
  setup: { routes: [] },
  connected: false,
};

const listeners = new Map();

/** Calls `listener` after each change of one of `names`. */
export function on(names, listener) {
  for (const name of names) listeners.set(name, [...(listeners.get(name) ?? []), listener]);
}

/** Tells the listeners of `name`. */
export function changed(name) {
  for (const listener of listeners.get(name) ?? []) listener();
}

/** Reads the fixed things, then follows the events. */
export async function connect() {
  const [emoji, setup] = await Promise.all([get("/slack/_sim/emoji"), get("/demo/setup")]);
  state.emoji = emoji;
  state.setup = setup;
  const events = new EventSource("/events");
  const follow = (name, take) => events.addEventListener(name, (event) => {
    take(JSON.parse(event.data));
    changed(name);
  });
  follow("slack", (value) => { state.slack = value; });
  follow("teleport", (value) => { state.teleport = value; });
  follow("worker", (value) => { state.worker = value; });
  follow("log", addLines);
  follow("calls", addCalls);
  events.addEventListener("open", () => {
    state.connected = true;
    changed("connection");
    leaveIfRestarted();
  });
  events.addEventListener("error", () => { state.connected = false; changed("connection"); });
}

/** Another run of the demo knows nothing of what this page shows. */
async function leaveIfRestarted() {
  const { started } = await get("/demo/setup");
  if (started !== state.setup.started) location.reload();
}

function addLines(lines) {
  const last = state.log.at(-1)?.number ?? 0;
  state.log.push(...lines.filter((line) => line.number > last));
  state.log.splice(0, state.log.length - LINES_KEPT);
}

function addCalls(calls) {
  for (const call of calls) state.calls.set(call.key, call);
  while (state.calls.size > CALLS_KEPT) state.calls.delete(state.calls.keys().next().value);
}

async function get(path) {
  const answer = await fetch(path);
  return answer.json();
}

/** Sends a command. Shows the reason and answers `null` when it is refused. */
export async function post(path, body = {}, method = "POST") {
  try {
    const answer = await fetch(path, {
      method,
      headers: { "content-type": "application/json" },
      body: method === "POST" ? JSON.stringify(body) : undefined,
    });
    const text = await answer.text();
    if (answer.ok) return JSON.parse(text || "{}");
    complain(reasonIn(text) || `The server answered ${answer.status}.`);
  } catch {
    complain("The demo does not answer. Is it still running?");
  }
  return null;
}

function reasonIn(text) {
  try {
    return JSON.parse(text).error;
  } catch {
    return text;
  }
}
