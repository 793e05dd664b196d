// Teleport's side: making access requests, deciding them, and what is stored beside them.

import { byId, h, reconcile } from "./dom.js";
import { on, post, state } from "./state.js";

/** Roles that are no use to ask for. */
const OWN_ROLES = ["access-plugin", "access-plugin-with-review", "requester", "reviewer"];

/** Characters from which a reason is scrolled. */
const LONG = 300;

const PHRASES = { PENDING: "Pending", APPROVED: "Approved", DENIED: "Denied", PROMOTED: "Promoted" };

/** Draws Teleport whenever it changes. */
export function start() {
  on(["teleport"], draw);
  byId("request-form").addEventListener("submit", (event) => {
    event.preventDefault();
    ask(read(event.target));
  });
  byId("request-form").addEventListener("change", () => {
    wantRole();
    drawAudience();
  });
  window.addEventListener("hashchange", focusRequest);
}

/** Creates an access request; answers its id, or null. */
export async function ask(request) {
  const answer = await post("/teleport/_sim/requests", request);
  return answer?.id ?? null;
}

/** Submits a review. */
export const review = (id, author, approve, reason) => post(`/teleport/_sim/requests/${id}/review`, { author, approve, reason });

function read(form) {
  const data = new FormData(form);
  const approvals = Number(data.get("approvals"));
  return {
    user: data.get("user"),
    roles: data.getAll("roles"),
    reason: data.get("reason"),
    suggested_reviewers: data.getAll("reviewers"),
    ttl_seconds: Number(data.get("ttl")),
    thresholds: approvals > 1 ? [{ approve: approvals, deny: 1 }] : [],
  };
}

function draw() {
  const { teleport } = state;
  const names = Object.keys(teleport.users);
  const people = names.filter((name) => name.includes("@"));
  reconcile(byId("teleport-users"), people, { key: (name) => name, build: (name) => h("option", { value: name }) });
  const roles = teleport.roles.filter((role) => !OWN_ROLES.includes(role)).sort((a, b) => (b === "dba") - (a === "dba") || a.localeCompare(b));
  pills("role-pills", "roles", roles, ["dba"]);
  pills("reviewer-pills", "reviewers", reviewers(), []);
  drawAudience();
  const requests = teleport.requests.map((request) => ({ ...request, reviewers: reviewers() }));
  const gone = Object.entries(teleport.orphaned_plugin_data).map(([id, data]) => ({ id, state: "GONE", plugin_data: data }));
  reconcile(byId("requests"), [...requests, ...gone], {
    key: (request) => request.id,
    build: card,
    onchange: (element) => element.classList.add("fresh"),
  });
  byId("requests-empty").hidden = requests.length + gone.length > 0;
}

/** Where no role is chosen, the browser says so there. */
function wantRole() {
  const boxes = [...byId("role-pills").querySelectorAll("input")];
  boxes[0]?.setCustomValidity(boxes.some((box) => box.checked) ? "" : "Choose a role to ask for.");
}

/** Whom the program tells, by its configuration: a role's own recipients, or else those of `*`, and the suggested reviewers. */
function drawAudience() {
  const { roles, suggested_reviewers: suggested } = read(byId("request-form"));
  const of = (role) => state.setup.routes.find((route) => route.role === role)?.to;
  const told = new Set([...roles.flatMap((role) => of(role) ?? of("*") ?? []), ...suggested]);
  const names = [...told].map((name) => (name.includes("@") ? name : `#${name}`));
  byId("audience").textContent = names.length ? `Told in Slack: ${new Intl.ListFormat("en").format(names)}.` : "";
}

const reviewers = () => Object.entries(state.teleport.users).filter(([, roles]) => roles.includes("reviewer")).map(([name]) => name);

function pills(id, name, values, chosen) {
  reconcile(byId(id), values, {
    key: (value) => value,
    build: (value) => h("label", { class: "pill" },
      h("input", { type: "checkbox", name, value, checked: chosen.includes(value) }), h("span", {}, value)),
  });
}

function card(request) {
  const { id, user, roles = [] } = request;
  if (request.state === "GONE") return goneCard(request);
  return h("li", { class: `card request ${request.state.toLowerCase()}`, id: `request-${id}`, tabIndex: -1 },
    h("p", { class: "request-head" },
      h("span", { class: "state" }, PHRASES[request.state] ?? request.state),
      h("span", { class: "who" }, h("b", {}, user), " asks for ", roles.map((role, index) => [index ? ", " : "", h("code", {}, role)]))),
    request.reason ? h("p", { class: "reason", tabIndex: request.reason.length > LONG ? 0 : -1 }, request.reason) : null,
    request.suggested_reviewers.length ? h("p", { class: "fact" }, `Suggested reviewers: ${request.suggested_reviewers.join(", ")}`) : null,
    request.resolve_reason ? h("p", { class: "fact" }, `Decided: ${request.resolve_reason}`) : null,
    reviewList(request),
    request.state === "PENDING" ? decision(request) : null,
    stored(request),
    identifier(id));
}

/** Teleport knows nothing of it any more; what the program stored is still there, and says who asked. */
function goneCard(request) {
  const [data] = Object.values(request.plugin_data);
  return h("li", { class: "card request gone", id: `request-${request.id}`, tabIndex: -1 },
    h("p", { class: "request-head" },
      h("span", { class: "state" }, "Gone"),
      h("span", { class: "who" }, data?.user ? [h("b", {}, data.user), " asked for ", h("code", {}, data.roles ?? "")] : "An access request")),
    data?.request_reason ? h("p", { class: "reason" }, data.request_reason) : null,
    h("p", { class: "fact" }, "Expired or deleted."),
    stored(request), identifier(request.id));
}

const identifier = (id) => h("p", { class: "identifier" }, id);

function reviewList(request) {
  const needed = request.thresholds[0]?.[0] ?? 1;
  const approvals = request.reviews.filter((one) => one.state === "APPROVED").length;
  return [
    needed > 1 ? h("p", { class: "fact" }, `${approvals} of ${needed} approvals`) : null,
    request.reviews.length ? h("ul", { class: "reviews" }, request.reviews.map((one) =>
      h("li", {}, one.state === "APPROVED" ? "✅ " : "❌ ", h("b", {}, one.author), one.reason ? `: ${one.reason}` : ""))) : null,
  ];
}

/** A reviewer's controls, and an administrator's behind them. */
function decision(request) {
  const { id, user } = request;
  const act = (path, body) => () => post(`/teleport/_sim/requests/${id}/${path}`, body);
  const author = h("select", { "data-focus": "author", "aria-label": `Reviewer of ${user}'s request` },
    request.reviewers.map((name) => h("option", { value: name }, name)));
  const reason = h("input", { "data-focus": "reason", "aria-label": `Reason for the decision on ${user}'s request`, placeholder: "Reason", autocomplete: "off" });
  const decide = (approve) => () => review(id, author.value, approve, reason.value);
  const button = (text, name, onclick, looks = "") => h("button", { type: "button", class: looks, "data-focus": name, onclick }, text);
  return [
    h("div", { class: "decide" }, author, reason,
      button("Approve", "approve", decide(true), "approve"), button("Deny", "deny", decide(false), "deny")),
    h("details", { "data-focus": "more" }, h("summary", { "data-focus": "more-summary" }, "As an administrator"),
      h("div", { class: "buttons" },
        button("Approve by decree", "force-approve", act("approve", { reason: "by an administrator" })),
        button("Deny by decree", "force-deny", act("deny", { reason: "by an administrator" })),
        button("Delete it", "delete", act("delete")))),
  ];
}

function stored(request) {
  const entries = Object.entries(request.plugin_data).flatMap(([plugin, data]) => Object.entries(data).map(([key, value]) => [`${plugin}.${key}`, value]));
  if (!entries.length) return null;
  return h("details", { "data-focus": "stored" }, h("summary", { "data-focus": "stored-summary" }, "What the program stored here"),
    h("dl", { class: "stored" }, entries.map(([key, value]) => [h("dt", {}, key), h("dd", {}, value)])));
}

/** A link in a message leads to its request. */
function focusRequest() {
  const target = /^#request-[\w-]+$/.test(location.hash) ? byId(location.hash.slice(1)) : null;
  if (!target) return;
  target.scrollIntoView({ block: "center" });
  target.focus({ preventScroll: true });
  history.replaceState(null, "", location.pathname);
}
