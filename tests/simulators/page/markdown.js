// The `markdown` block: the part of Markdown that Slack draws (Slack docs: markdown block).

import { h } from "./dom.js";
import { link, plainText } from "./mrkdwn.js";

/** Markdown as nodes. */
export function markdown(source) {
  return source.split(/^```[^\n]*\n([\s\S]*?)\n?```[ ]*$/m).flatMap((part, index) =>
    (index % 2 ? [h("pre", { class: "code-block" }, h("code", {}, part))] : paragraphs(part)));
}

/** Lines of one kind belong together: a list, a quote, a paragraph. */
const KINDS = [
  { match: /^#{1,6} +/, draw: (lines) => lines.map((line) => h("p", { class: "text" }, h("b", {}, inline(line)))) },
  { match: /^ *[-*] +/, draw: (lines) => [h("ul", {}, lines.map((line) => h("li", {}, inline(line))))] },
  { match: /^ *\d+\. +/, draw: (lines) => [h("ol", {}, lines.map((line) => h("li", {}, inline(line))))] },
  { match: /^> ?/, draw: (lines) => [h("blockquote", {}, broken(lines))] },
  { match: /^(?=\S)/, draw: (lines) => [h("p", { class: "text" }, broken(lines))] },
];

function paragraphs(part) {
  const groups = [];
  for (const line of part.split("\n")) {
    const kind = KINDS.find(({ match }) => match.test(line));
    const rest = kind ? line.replace(kind.match, "") : "";
    if (kind && groups.at(-1)?.kind === kind) groups.at(-1).lines.push(rest);
    else groups.push({ kind, lines: [rest] });
  }
  return groups.flatMap(({ kind, lines }) => kind?.draw(lines) ?? []);
}

const broken = (lines) => lines.flatMap((line, index) => (index ? [h("br"), ...inline(line)] : inline(line)));

const MARKS = /`(?<code>[^`]+)`|\[(?<label>[^\]]+)\]\((?<url>[^)\s]+)\)|(\*\*|__)(?<bold>.+?)\4|~~(?<struck>.+?)~~|([*_])(?<italic>[^*_]+)\7/g;

function inline(line) {
  const nodes = [];
  let end = 0;
  for (const { index, 0: whole, groups } of line.matchAll(MARKS)) {
    nodes.push(...plainText(line.slice(end, index)), mark(groups));
    end = index + whole.length;
  }
  return [...nodes, ...plainText(line.slice(end))];
}

function mark({ code, label, url, bold, struck, italic }) {
  if (code) return h("code", {}, code);
  if (url) return link(url, label);
  if (bold) return h("b", {}, inline(bold));
  if (struck) return h("s", {}, inline(struck));
  return h("i", {}, inline(italic));
}
