// Everything that can go wrong, by one press each; and any other fault by its name.

import { byId, h, reconcile } from "./dom.js";
import { on, post, state } from "./state.js";

const slack = (fault) => () => post("/slack/_sim/faults", fault);
const teleport = (fault) => () => post("/teleport/_sim/faults", fault);
const channel = (action) => () => post("/slack/_sim/channel", { channel: "dba-oncall", user: "teleport", action });
const identity = (rotation) => () => post("/teleport/_sim/identity", rotation);

const GROUPS = [
  {
    title: "The program",
    presets: [
      { text: "Kill it", hint: "No time to finish anything, as when a node dies.", act: () => post("/demo/worker", { order: "kill" }), when: () => state.worker?.pid },
      { text: "Stop it", hint: "Asked politely, as by systemd or Kubernetes.", act: () => post("/demo/worker", { order: "stop" }), when: () => state.worker?.pid },
      { text: "Start it", hint: "It catches up with everything that it missed.", act: () => post("/demo/worker", { order: "start" }), when: () => state.worker && !state.worker.pid },
    ],
  },
  {
    title: "Slack",
    presets: [
      { text: "HTTP 500 for 10 s", hint: "Every call fails.", act: slack({ method: "*", effect: "server_error", status: 500, for_millis: 10000 }) },
      { text: "Too many requests", hint: "The next message has to wait 5 s.", act: slack({ method: "chat.postMessage", effect: "rate_limited", retry_after: 5, count: 1 }) },
      { text: "Lose an answer", hint: "The next message is posted, but the program does not learn of it.", act: slack({ method: "chat.postMessage", effect: "answer_lost", count: 1 }) },
      { text: "Slow for 15 s", hint: "Every answer takes 2 s.", act: slack({ method: "*", effect: "slow", millis: 2000, for_millis: 15000 }) },
      { text: "Throw the app out of #dba-oncall", hint: "Others are still told.", act: channel("kick") },
      { text: "Invite it to #dba-oncall", hint: "What was missed follows with the next full look, or a restart.", act: channel("invite") },
    ],
  },
  {
    title: "Teleport",
    presets: [
      { text: "Cut the watch", hint: "The stream of events breaks.", act: () => post("/teleport/_sim/streams/cut") },
      { text: "Away for 5 s", hint: "No connection at all.", act: () => post("/demo/outage", { seconds: 5 }) },
      { text: "Refuse to store, 3 times", hint: "Plugin data cannot be written.", act: teleport({ method: "UpdatePluginData", effect: "error", code: "unavailable", message: "try again", count: 3 }) },
    ],
  },
  {
    title: "Credentials",
    presets: [
      { text: "New identity", hint: "A new file; used without a restart.", act: identity({ ttl_seconds: 3600 }) },
      { text: "Expired identity", hint: "Reported; the old one stays in use.", act: identity({ expired: true, ttl_seconds: 60 }) },
      { text: "Identity for 20 s", hint: "Then it expires in use.", act: identity({ ttl_seconds: 20 }) },
      { text: "New Slack token", hint: "The old one is revoked at once.", act: () => post("/demo/token", { action: "rotate" }) },
      { text: "Revoke the token", hint: "Slack refuses every call.", act: () => post("/demo/token", { action: "revoke" }) },
      { text: "Accept it again", hint: "As after a reinstallation.", act: () => post("/demo/token", { action: "restore" }) },
    ],
  },
];

const EFFECTS = {
  error: ["code"], error_after: ["code"], rate_limited: ["retry_after"], rate_limited_text: ["retry_after"],
  server_error: ["status"], server_error_after: ["status"], redirect: ["location"], hang: [], reset_before: [], answer_lost: [],
  slow: ["millis"], malformed: [], html: [], huge: ["bytes"], drip: ["millis"], stale_read: ["millis"],
  cut: [], stall: [], end: [], duplicate: [],
};

const DEFAULTS = { code: "internal_error", retry_after: 5, status: 503, millis: 3000, bytes: 20000000, location: "https://example.com/" };

/** What is text among them; the rest are numbers. */
const TEXTS = ["code", "location"];

/** Draws the controls, and keeps the list of faults in force. */
export function start() {
  byId("faults").append(
    h("div", { class: "in-force" },
      h("ul", { id: "in-force", "aria-label": "Faults in force" }),
      h("button", { type: "button", class: "mend", onclick: () => post("/demo/calm") }, "Mend everything")),
    h("div", { id: "fault-groups" }),
    anyFault());
  on(["worker"], drawGroups);
  on(["slack", "teleport", "worker"], drawInForce);
  drawGroups();
}

function drawGroups() {
  const groups = GROUPS.map((group) => ({ title: group.title, ready: group.presets.map((preset) => preset.when ? Boolean(preset.when()) : true) }));
  reconcile(byId("fault-groups"), groups, {
    key: (group) => group.title,
    build: ({ title, ready }) => h("div", { class: "fault-group", role: "group", "aria-label": title }, h("h3", {}, title),
      h("ul", {}, GROUPS.find((group) => group.title === title).presets.map((preset, index) => h("li", {},
        h("button", { type: "button", disabled: !ready[index], "data-focus": preset.text, "aria-describedby": `hint-${title}-${index}`.replaceAll(" ", "-"), onclick: preset.act }, preset.text),
        h("span", { class: "hint", id: `hint-${title}-${index}`.replaceAll(" ", "-") }, preset.hint))))),
  });
}

/** Faults in force. */
export function listed() {
  return [
    ...(state.slack?.faults ?? []).map(({ id, ...fault }) => ({ service: "slack", number: id, fault })),
    ...(state.teleport?.faults ?? []).map(({ number, fault }) => ({ service: "teleport", number, fault })),
  ];
}

/** What was broken by other means than a fault; it is mended by its own button. */
function broken() {
  const { slack: workspace, teleport: cluster, worker } = state;
  return [
    worker?.ended && !worker.pid ? "the program does not run" : null,
    cluster && !cluster.is_up ? "teleport: away" : null,
    workspace && !workspace.accepts_token ? "slack: the program's token is revoked" : null,
    workspace && !workspace.channels.find(({ name }) => name === "dba-oncall")?.bot_is_member ? "slack: the app is not in #dba-oncall" : null,
  ].filter(Boolean).map((text) => ({ text }));
}

function drawInForce() {
  reconcile(byId("in-force"), [...broken(), ...listed()], {
    key: ({ text, service, number }) => text ?? `${service}-${number}`,
    build: ({ text, service, number, fault }) => (text ? h("li", {}, h("span", {}, text)) : h("li", {}, h("span", {}, `${service}: ${describe(fault)}`),
      h("button", { type: "button", class: "quiet", "aria-label": `End ${describe(fault)}`, onclick: () => end(service, number) }, "✕"))),
  });
}

const end = (service, number) => post(`/${service}/_sim/faults/${number}`, {}, "DELETE");

function describe(fault) {
  const detail = fault.status ?? fault.code ?? (fault.millis ? `${fault.millis} ms` : "");
  const extent = fault.count ? `, ${fault.count}×` : fault.for_millis ? `, for ${fault.for_millis / 1000} s` : "";
  const calls = fault.method === "*" ? "every call:" : fault.method;
  return `${calls} ${fault.effect.replaceAll("_", " ")} ${detail}`.trim() + extent;
}

/** The whole vocabulary. */
function anyFault() {
  const field = (name, label, value) => h("label", {}, label, h("input", { name, value, autocomplete: "off" }));
  const detail = h("div", { class: "row" });
  const effect = h("select", { name: "effect" }, Object.keys(EFFECTS).map((name) => h("option", { value: name }, name.replaceAll("_", " "))));
  const drawDetail = () => detail.replaceChildren(...EFFECTS[effect.value].map((name) => field(name, name.replaceAll("_", " "), DEFAULTS[name])));
  effect.addEventListener("change", drawDetail);
  drawDetail();
  const submit = (event) => {
    event.preventDefault();
    const data = Object.fromEntries(new FormData(event.target));
    const fault = { method: data.method, effect: data.effect };
    for (const name of EFFECTS[data.effect]) fault[name] = TEXTS.includes(name) ? data[name] : Number(data[name]);
    if (data.count) fault.count = Number(data.count);
    if (data.seconds) fault.for_millis = Number(data.seconds) * 1000;
    post(`/${data.service}/_sim/faults`, fault);
  };
  return h("details", { class: "any-fault" }, h("summary", {}, "Any other fault"),
    h("form", { class: "form", onsubmit: submit },
      h("div", { class: "row" },
        h("label", {}, "Of", h("select", { name: "service" }, h("option", { value: "slack" }, "Slack"), h("option", { value: "teleport" }, "Teleport"))),
        field("method", "Method, or *", "chat.update")),
      h("div", { class: "row" }, h("label", {}, "Effect", effect), detail),
      h("div", { class: "row" }, field("count", "How many calls", "1"), field("seconds", "For how many seconds", "")),
      h("button", { type: "submit" }, "Inject")));
}
