// Slack's own markup, drawn as Slack draws it.

import { h } from "./dom.js";
import { state } from "./state.js";

const unescape = (text) => text.replace(/&(lt|gt|amp);/g, (_, name) => ({ lt: "<", gt: ">", amp: "&" })[name]);

/** A text object. */
export function text(object) {
  return object.type === "mrkdwn" ? mrkdwn(object.text) : plainText(object.text, object.emoji !== false);
}

/** A piece of mrkdwn as nodes: code blocks and quotes first, then what stands in a line. */
export function mrkdwn(text) {
  const pieces = text.split(/```([\s\S]*?)```/);
  return pieces.flatMap((piece, index) => (index % 2 ? [codeBlock(piece)] : quotes(trimAround(piece, index, pieces.length))));
}

/** Slack shows no empty line beside a code block. */
function trimAround(piece, index, length) {
  let trimmed = piece;
  if (index > 0) trimmed = trimmed.replace(/^\n/, "");
  if (index < length - 1) trimmed = trimmed.replace(/\n$/, "");
  return trimmed;
}

const codeBlock = (text) => h("pre", { class: "code-block" }, h("code", {}, unescape(text.replace(/^\n|\n$/g, ""))));

function quotes(text) {
  const nodes = [];
  let quoted = [];
  let plain = [];
  const flush = () => {
    if (quoted.length) nodes.push(h("blockquote", {}, lines(quoted)));
    if (plain.length && plain.join("") !== "") nodes.push(...lines(plain));
    quoted = [];
    plain = [];
  };
  let restIsQuoted = false;
  for (const line of text.split("\n")) {
    restIsQuoted ||= /^(&gt;|>){3}/.test(line);
    const isQuoted = restIsQuoted || /^(&gt;|>)/.test(line);
    if (isQuoted ? plain.length : quoted.length) flush();
    (isQuoted ? quoted : plain).push(isQuoted ? line.replace(/^(&gt;|>){1,3} ?/, "") : line);
  }
  flush();
  return nodes;
}

const lines = (list) => list.flatMap((line, index) => (index ? [h("br"), ...inline(line)] : inline(line)));

// A mark opens after a space or punctuation and closes before one, as in Slack.
const PIECES = new RegExp(
  [
    "`(?<code>[^`\\n]+)`",
    "<(?<reference>[^<>\\n]+)>",
    ":(?<emoji>[a-z0-9_+'-]+):",
    "(?<![\\w*])\\*(?=\\S)(?<bold>[^*\\n]*[^*\\s])\\*(?![\\w*])",
    "(?<![\\w_])_(?=\\S)(?<italic>[^_\\n]*[^_\\s])_(?![\\w_])",
    "(?<![\\w~])~(?=\\S)(?<struck>[^~\\n]*[^~\\s])~(?![\\w~])",
  ].join("|"),
  "g",
);

function inline(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(PIECES)) {
    if (match.index > end) nodes.push(unescape(text.slice(end, match.index)));
    nodes.push(piece(match.groups, match[0]));
    end = match.index + match[0].length;
  }
  if (end < text.length) nodes.push(unescape(text.slice(end)));
  return nodes;
}

function piece(groups, whole) {
  if (groups.code) return h("code", {}, unescape(groups.code));
  if (groups.reference) return reference(groups.reference);
  if (groups.emoji) return emoji(groups.emoji);
  if (groups.bold) return h("b", {}, inline(groups.bold));
  if (groups.italic) return h("i", {}, inline(groups.italic));
  if (groups.struck) return h("s", {}, inline(groups.struck));
  return unescape(whole);
}

/** Text with nothing but emoji in it. */
export function plainText(text, withEmoji = true) {
  if (!withEmoji) return [text];
  return text.split(/:([a-z0-9_+'-]+):/).map((part, index) => (index % 2 ? emoji(part) : part));
}

/** An emoji by its name; the name itself when Slack would not know it. */
export function emoji(name) {
  const character = state.emoji[name];
  return character ? h("span", { class: "emoji", role: "img", "aria-label": name.replaceAll("_", " ") }, character) : `:${name}:`;
}

function reference(inside) {
  const bar = inside.indexOf("|");
  const target = bar < 0 ? inside : inside.slice(0, bar);
  const label = bar < 0 ? "" : unescape(inside.slice(bar + 1));
  if (target.startsWith("@")) return mention(target.slice(1), label);
  if (target.startsWith("#")) return channelLink(target.slice(1), label);
  if (target.startsWith("!date^")) return date(target.slice(6), label);
  if (target.startsWith("!subteam^")) return groupMention(target.slice(9), label);
  if (target.startsWith("!")) return h("span", { class: "mention loud" }, `@${label || target.slice(1)}`);
  return link(unescape(target), label);
}

/** A link. One to a request in Teleport's web UI leads to the request on this page. */
export function link(url, label) {
  const request = /\/web\/requests\/([\w-]+)/.exec(url)?.[1];
  if (request) return h("a", { href: `#request-${request}`, title: `${url} in real life; here, the request beside` }, label || url);
  const isSafe = /^(https?|mailto|tel):/i.test(url);
  return isSafe ? h("a", { href: url, target: "_blank", rel: "noreferrer" }, label || url) : h("span", {}, label || url);
}

export function mention(id, label) {
  const user = state.slack?.users.find((known) => known.id === id);
  return h("span", { class: "mention" }, `@${user?.real_name || user?.name || label || id}`);
}

export function channelLink(id, label) {
  const channel = state.slack?.channels.find((known) => known.id === id);
  return h("span", { class: "mention" }, `#${channel?.name || label || id}`);
}

export function groupMention(id, label) {
  const group = state.slack?.user_groups.find((known) => known.id === id);
  return h("span", { class: "mention" }, group ? `@${group.handle}` : label || id);
}

const day = (when) => new Date(when.getFullYear(), when.getMonth(), when.getDate()).getTime();

/** Slack's date formats, in the reader's time zone: `date^SECONDS^FORMAT^LINK`. */
function date(inside, fallback) {
  const [seconds, format = ""] = inside.split("^");
  const when = new Date(Number(seconds) * 1000);
  if (Number.isNaN(when.getTime())) return fallback;
  const show = (options) => new Intl.DateTimeFormat(undefined, options).format(when);
  const formats = {
    date_num: () => when.toISOString().slice(0, 10),
    date: () => show({ month: "long", day: "numeric", year: "numeric" }),
    date_short: () => show({ month: "short", day: "numeric", year: "numeric" }),
    date_long: () => show({ weekday: "long", month: "long", day: "numeric", year: "numeric" }),
    time: () => show({ hour: "numeric", minute: "2-digit" }),
    time_secs: () => show({ hour: "numeric", minute: "2-digit", second: "2-digit" }),
    ago: () => `${Math.max(0, Math.round((Date.now() - when) / 60000))} minutes ago`,
  };
  const shown = format.replace(/\{(\w+)\}/g, (whole, name) => {
    const days = Math.round((day(when) - day(new Date())) / 86400000);
    const near = { "-1": "yesterday", 0: "today", 1: "tomorrow" }[days];
    if (name.endsWith("_pretty") && near) return near;
    return formats[name.replace(/_pretty$/, "")]?.() ?? whole;
  });
  return h("time", { dateTime: when.toISOString(), title: when.toLocaleString() }, shown || fallback);
}
