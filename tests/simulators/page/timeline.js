// Every call with its answer, and what the program logs.

import { byId, h, reconcile } from "./dom.js";
import { nameOf, user } from "./message.js";
import { on, state } from "./state.js";

/** Draws calls and log lines as they come. */
export function start() {
  on(["calls"], drawCalls);
  on(["log"], drawLog);
  tabs(["tab-calls", "tab-log"].map(byId));
}

/** Tabs as assistive technology expects them: one stop, arrows between. */
function tabs(list) {
  const choose = (chosen) => {
    for (const tab of list) {
      const isChosen = tab === chosen;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      byId(tab.getAttribute("aria-controls")).hidden = !isChosen;
    }
    // The last lines are what somebody wants who comes here; until now there was nothing to scroll.
    if (chosen.id === "tab-log") toEnd(byId("log-panel"));
  };
  for (const [index, tab] of list.entries()) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = list[(index + step + list.length) % list.length];
      choose(next);
      next.focus();
    });
  }
}

function drawCalls() {
  const newestFirst = [...state.calls.values()].sort((a, b) => b.at - a.at);
  byId("calls-empty").hidden = newestFirst.length > 0;
  reconcile(byId("calls"), newestFirst, { key: (call) => call.key, build: row });
}

function row(call) {
  const time = new Date(call.at);
  const clock = `${time.toLocaleTimeString(undefined, { hour12: false })}.${String(time.getMilliseconds()).padStart(3, "0")}`;
  const about = subject(call);
  return h("li", { class: `call ${call.result}` },
    h("details", { "data-focus": call.key },
      h("summary", { "data-focus": `${call.key}-summary` },
        h("time", { dateTime: time.toISOString() }, clock),
        h("span", { class: `service of-${call.service}` }, call.service),
        h("span", { class: "method" }, call.method, about ? h("span", { class: "about" }, about) : null),
        call.fault ? h("span", { class: "fault" }, "⚡ fault") : null,
        h("span", { class: "outcome" }, call.outcome)),
      call.fault ? part("Fault", call.fault) : null,
      part("Request", call.request),
      part("Answer", call.answer ?? call.outcome),
      call.violations.length ? part("The real service would object", call.violations.join("\n")) : null));
}

/** Where a call went, for people. */
function subject(call) {
  const id = call.request?.channel;
  const channel = state.slack?.channels.find((known) => known.id === id || known.name === id);
  if (channel?.name) return ` #${channel.name}`;
  const person = user(channel?.user ?? id);
  if (person) return ` to ${nameOf(person.id)}`;
  return call.request?.email ? ` ${call.request.email}` : "";
}

const part = (title, value) => h("div", { class: "part" }, h("h4", {}, title), h("pre", {}, typeof value === "string" ? value : JSON.stringify(value, null, 2)));

function drawLog() {
  const panel = byId("log-panel");
  const atEnd = panel.scrollHeight - panel.scrollTop - panel.clientHeight < 60;
  reconcile(byId("log"), state.log, {
    key: (line) => line.number,
    build: ({ text }) => {
      const level = /\b(ERROR|WARN|INFO|DEBUG)\b/.exec(text)?.[1] ?? "";
      return h("li", { class: level.toLowerCase() }, text);
    },
  });
  if (atEnd) toEnd(panel);
}

function toEnd(panel) {
  panel.scrollTop = panel.scrollHeight;
}
