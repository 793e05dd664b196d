// Three steps for somebody who has never seen this, each done by one press.

import { byId, h, reconcile } from "./dom.js";
import { messagesAbout, show } from "./slack.js";
import { on, post, state } from "./state.js";
import { ask } from "./teleport.js";

const REQUEST = { user: "alice@example.com", roles: ["dba"], reason: "The index on orders is gone", suggested_reviewers: [] };
const REVIEWER = "bob@example.com";
const WITH_REASON = "review_with_reason_button";

const progress = { request: null, looked: false };
/** Under which the browser keeps the progress of one run of the demo, so that a reload does not begin anew. */
const KEPT = "steps";
let isRestored = false;

/** Draws the steps whenever something changes that they depend on. */
export function start() {
  on(["slack", "teleport"], draw);
}

function restore() {
  isRestored = true;
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
  if (kept.started === state.setup.started) Object.assign(progress, kept.progress);
}

function advance(change) {
  Object.assign(progress, change);
  sessionStorage.setItem(KEPT, JSON.stringify({ started: state.setup.started, progress }));
  draw();
}

function draw() {
  if (!isRestored) restore();
  const told = progress.request ? messagesAbout(progress.request) : [];
  const requested = state.teleport?.requests.find((request) => request.id === progress.request);
  const decided = Boolean(requested) && requested.state !== "PENDING";
  const steps = [
    { id: "ask", title: "Ask", text: "Alice needs the role dba and says why.", button: "Ask as Alice", done: Boolean(progress.request), ready: true },
    { id: "look", title: "Look", text: told.length ? `Slack told ${places(told)}.` : "The right people read it in Slack.", button: "Show the message", done: progress.looked, ready: told.length > 0 },
    { id: "decide", title: "Decide in Slack", text: decided ? "The message says so, with a reaction and a reply in its thread." : "Bob presses a button of the message, and says why.", button: "Press it as Bob", done: decided, ready: told.length > 0 && !decided },
    { id: "break", title: "Now break it", text: "Kill the program, ask again, start it. Nothing is lost.", button: "Show me how", done: false, ready: decided || told.length > 0 },
  ];
  const next = steps.find((step) => !step.done)?.id;
  reconcile(byId("steps"), steps.map((step, index) => ({ ...step, number: index + 1, next: step.id === next })), { key: (step) => step.id, build });
}

// A hyphen at which no line breaks.
const places = (told) => told.map(({ channel }) => (channel.kind === "im" ? nameOf(channel.user) : `#${channel.name.replaceAll("-", "\u2011")}`)).join(" and ");

const nameOf = (id) => state.slack.users.find((user) => user.id === id)?.real_name ?? id;

function build(step) {
  const mark = step.done ? "✓" : step.id === "break" ? "⚡" : String(step.number);
  return h("li", { class: `step ${step.done ? "done" : ""} ${step.next ? "next" : ""}` },
    h("span", { class: "step-number", "aria-hidden": "true" }, mark),
    h("div", {},
      h("h2", {}, step.title, step.done ? h("span", { class: "unseen" }, " (done)") : null),
      h("p", {}, step.text),
      h("button", { class: step.next ? "primary" : "", disabled: !step.ready, "data-focus": step.id, onclick: ACTIONS[step.id] }, step.button)));
}

const ACTIONS = {
  async ask() {
    const id = await ask(REQUEST);
    if (!id) return;
    show("dba-oncall");
    advance({ request: id, looked: false });
  },
  look() {
    const [first] = messagesAbout(progress.request);
    show(first.channel.id, { focus: true });
    byId("slack").scrollIntoView({ block: "nearest" });
    advance({ looked: true });
  },
  async decide() {
    advance({ looked: true });
    const [first] = messagesAbout(progress.request);
    show(first.channel.id);
    byId("slack").scrollIntoView({ block: "nearest" });
    const user = state.slack.users.find((known) => known.email === REVIEWER).id;
    await post("/slack/_sim/click", { user, channel: first.channel.id, ts: first.shown.object.ts, action_id: WITH_REASON });
  },
  break() {
    byId("break").scrollIntoView({ block: "start" });
    byId("break").focus({ preventScroll: true });
  },
};
