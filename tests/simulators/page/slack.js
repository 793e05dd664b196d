// Slack's window: conversations with unread marks, messages, a thread beside them.

import { byId, h, reconcile } from "./dom.js";
import { isReply, message, nameOf, timeOf, user } from "./message.js";
import { changed, on, post, state } from "./state.js";

/** The one who sees everything, so that nothing has to be looked for. */
export const EVERYBODY = "";
/** Who acts while everything is seen. */
const ACTOR = "bob@example.com";

const view = { channel: null, thread: null, persona: EVERYBODY, read: new Map() };

/** Who looks. */
export const persona = () => view.persona;

/** Draws Slack whenever it changes. */
export function start() {
  on(["slack"], draw);
  byId("persona").addEventListener("change", (event) => {
    view.persona = event.target.value;
    view.thread = null;
    draw();
    changed("persona");
  });
  byId("thread-close").addEventListener("click", closeThread);
  byId("thread").addEventListener("keydown", (event) => event.key === "Escape" && closeThread());
  composer("composer", () => undefined);
  composer("thread-composer", () => view.thread);
}

/** Shows a conversation (id or name), with the focus on its title if the person went there on purpose. */
export function show(name, { focus = false } = {}) {
  const channel = state.slack?.channels.find((known) => known.id === name || known.name === name);
  if (!channel) return;
  view.channel = channel.id;
  view.thread = null;
  draw();
  if (focus) byId("conversation-title").focus();
}

/** The messages about an access request, oldest first, each with its conversation. */
export function messagesAbout(request) {
  const found = (state.slack?.channels ?? []).flatMap((channel) => channel.messages.map((shown) => ({ channel, shown })));
  return found.filter(({ shown }) => shown.object.metadata?.event_payload?.request_id === request && !isReply(shown));
}

const current = () => state.slack.channels.find((known) => known.id === view.channel);

/** Who acts in the conversation: the one who looks, or, while everything is seen, the one whom the app writes to. */
function actor() {
  const channel = current();
  if (view.persona || channel?.kind === "im") return view.persona || channel.user;
  return state.slack.users.find((known) => known.email === ACTOR).id;
}

function composer(id, thread) {
  byId(id).addEventListener("submit", async (event) => {
    event.preventDefault();
    const field = event.target.elements.text;
    const text = field.value.trim();
    if (!text) return;
    const said = await post("/slack/_sim/say", { user: actor(), channel: view.channel, text, thread_ts: thread() });
    if (said) field.value = "";
  });
}

function closeThread() {
  const back = `reply-${view.thread}`;
  view.thread = null;
  draw();
  document.querySelector(`#messages [data-focus="${CSS.escape(back)}"]`)?.focus();
}

function openThread(ts) {
  view.thread = ts;
  draw();
  byId("thread-title").focus();
}

function draw() {
  if (!state.slack) return;
  const channels = state.slack.channels.filter(isSeen);
  if (!channels.some((channel) => channel.id === view.channel)) {
    const first = channels.find((channel) => channel.name === "dba-oncall") ?? channels.find((channel) => channel.name) ?? channels[0];
    view.channel = first?.id;
  }
  drawPersonas();
  drawSidebar(channels);
  if (channels.length) drawConversation();
  else drawNothing();
  drawThread();
}

/** A person sees the conversations they are in, and their own direct messages. */
function isSeen(channel) {
  if (view.persona === EVERYBODY) return channel.kind !== "im" || channel.messages.length > 0;
  return channel.kind === "im" ? channel.user === view.persona : channel.members.includes(view.persona);
}

function drawPersonas() {
  const people = state.slack.users.filter((known) => !known.deleted && known.kind !== "bot");
  const options = [{ id: EVERYBODY, name: "everybody" }, ...people.map((known) => ({ id: known.id, name: nameOf(known.id) }))];
  reconcile(byId("persona"), options, {
    key: (option) => `persona-${option.id}`,
    build: (option) => h("option", { value: option.id }, option.name),
  });
}

function drawSidebar(channels) {
  const item = (channel) => ({
    id: channel.id,
    title: titleOf(channel),
    mark: channel.kind === "im" ? "" : channel.kind === "private" ? "🔒" : "#",
    unread: unread(channel),
    current: channel.id === view.channel,
    archived: channel.archived,
  });
  const build = (entry) => h("li", {}, h("button", {
    class: entry.unread ? "conversation-link unread" : "conversation-link",
    "aria-current": entry.current ? "true" : undefined,
    "data-focus": `conversation-${entry.id}`,
    onclick: () => show(entry.id, { focus: true }),
  }, h("span", { class: "mark", "aria-hidden": "true" }, entry.mark), h("span", { class: "unseen" }, KINDS[entry.mark]),
  h("span", { class: "name" }, entry.title),
  entry.unread ? h("span", { class: "count" }, entry.unread, h("span", { class: "unseen" }, " unread")) : null));
  const options = { key: (entry) => entry.id, build };
  const named = channels.filter((channel) => channel.kind !== "im").map(item).sort((a, b) => a.archived - b.archived || a.title.localeCompare(b.title));
  reconcile(byId("channels"), named.map((entry) => (entry.archived ? { ...entry, title: `${entry.title} (archived)` } : entry)), options);
  const direct = channels.filter((channel) => channel.kind === "im").map(item);
  reconcile(byId("directs"), direct, options);
  byId("directs-title").hidden = direct.length === 0;
  keepInSight(document.querySelector(".sidebar [aria-current]"));
}

/** On a phone the side bar is a strip that scrolls sideways. */
function keepInSight(link) {
  const strip = link?.closest(".sidebar");
  if (!strip || strip.scrollWidth <= strip.clientWidth) return;
  // Who looks stays in its place at the left.
  const covered = strip.querySelector(".workspace").offsetWidth;
  strip.scrollLeft = link.offsetLeft - (strip.clientWidth + covered - link.offsetWidth) / 2;
}

/** What the marks say, for those who do not see them. */
const KINDS = { "#": "channel ", "🔒": "private channel ", "": "direct messages with " };

/** A person sees who the bot is to them; who sees everything, to whom the bot writes. */
function titleOf(channel) {
  if (channel.kind !== "im") return channel.name;
  return view.persona === EVERYBODY ? nameOf(channel.user) : nameOf(channel.bot);
}

function unread(channel) {
  const last = view.read.get(readKey(channel.id)) ?? "";
  return channel.messages.filter((shown) => shown.object.ts > last && user(shown.object.user)?.kind === "bot" && !isReply(shown)).length;
}

/** Everybody reads for themselves. */
const readKey = (channel) => `${view.persona}/${channel}`;

function drawConversation() {
  const channel = current();
  if (!channel) return;
  const prefix = { public: "#", private: "🔒 ", im: "" }[channel.kind] ?? "";
  const title = channel.kind === "im" && view.persona === EVERYBODY ? `${nameOf(channel.bot)} → ${nameOf(channel.user)}` : titleOf(channel);
  byId("conversation-title").textContent = prefix + title;
  byId("conversation-note").textContent = note(channel);
  byId("composer").elements.text.placeholder = `Message ${channel.kind === "im" ? nameOf(channel.bot) : `#${channel.name}`} as ${nameOf(actor())}`;
  byId("composer").hidden = channel.archived;
  byId("messages").setAttribute("aria-label", `Messages in ${prefix}${title}`);

  const ephemerals = state.slack.ephemerals
    .filter((shown) => shown.channel === channel.id && (view.persona === EVERYBODY || shown.user === view.persona))
    .map((shown) => ({ object: shown.object, onlyFor: nameOf(shown.user) }));
  const shown = [...channel.messages.filter((one) => !isReply(one) || one.broadcast), ...ephemerals]
    .sort((a, b) => a.object.ts.localeCompare(b.object.ts))
    .map((one) => ({ ...one, parent: parentOf(channel, one), replies: channel.messages.filter((reply) => isReply(reply) && reply.object.thread_ts === one.object.ts) }));
  drawList(byId("messages"), `${channel.id}/${view.persona}`, shown, (one) => ({
    replies: one.replies, channel: channel.id, actor, onlyFor: one.onlyFor, parent: one.parent,
    open: one.onlyFor ? undefined : () => openThread(one.object.thread_ts ?? one.object.ts),
  }));
  byId("messages").dataset.empty = note(channel) ? "" : `Nothing has been said in ${prefix}${title} yet.${hint(channel)}`;
  const last = channel.messages.at(-1)?.object.ts;
  if (last && !document.hidden) markRead(channel.id, last);
}

/** Somebody who is in no conversation. */
function drawNothing() {
  byId("conversation-title").textContent = "No conversation";
  byId("conversation-note").textContent = "";
  byId("composer").hidden = true;
  byId("messages").setAttribute("aria-label", "Messages");
  byId("messages").replaceChildren();
  byId("messages").dataset.shows = "";
  byId("messages").dataset.empty = `${nameOf(view.persona)} is in no conversation, and the app has not written to them.`;
}

/** The first words of a reply's thread, where the reply stands in the channel as well. */
function parentOf(channel, one) {
  return isReply(one) ? channel.messages.find((known) => known.object.ts === one.object.thread_ts)?.object.text.slice(0, 80) : undefined;
}

/** What to do about an empty channel, if the program writes there. */
function hint(channel) {
  return state.setup.routes.some(({ to }) => to.includes(channel.name)) ? "\nWhen somebody asks for access, the app posts the request here." : "";
}

function markRead(channel, ts) {
  if (view.read.get(readKey(channel)) === ts) return;
  view.read.set(readKey(channel), ts);
  drawSidebar(state.slack.channels.filter(isSeen));
}

function note(channel) {
  if (channel.archived) return "Archived: can be read, not written to.";
  if (!channel.bot_is_member && channel.kind !== "im") return "The app is not in this conversation.";
  return "";
}

function drawThread() {
  const channel = current();
  const parent = channel?.messages.find((one) => one.object.ts === view.thread);
  byId("thread").hidden = !parent;
  byId("slack").classList.toggle("with-thread", Boolean(parent));
  if (!parent) return;
  byId("thread-composer").elements.text.placeholder = `Reply as ${nameOf(actor())}`;
  const replies = channel.messages.filter((one) => isReply(one) && one.object.thread_ts === view.thread);
  drawList(byId("thread-messages"), `${channel.id}/${view.thread}`, [parent, ...replies], () => ({ channel: channel.id, actor }));
}

/** Draws messages into a list, which follows new ones when its end was in sight, and lets changes light up for a moment. */
function drawList(list, identity, shown, options) {
  const isSame = list.dataset.shows === identity;
  const atEnd = !isSame || list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  if (!isSame) list.replaceChildren();
  list.dataset.shows = identity;
  reconcile(list, withDays(shown), {
    key: (one) => one.day ?? `${one.onlyFor ?? ""}${one.object.ts}`,
    build: (one) => (one.day ? h("p", { class: "day" }, h("span", {}, one.title)) : message(one, options(one))),
    onchange: (element) => isSame && !element.classList.contains("day") && element.classList.add("fresh"),
  });
  if (atEnd) list.scrollTop = list.scrollHeight;
}

/** Slack puts a line between days. */
function withDays(shown) {
  let last = "";
  return shown.flatMap((one) => {
    const day = timeOf(one.object.ts).toDateString();
    const isNew = day !== last;
    last = day;
    const title = day === new Date().toDateString() ? "Today" : day;
    return isNew ? [{ day, title }, one] : [one];
  });
}
