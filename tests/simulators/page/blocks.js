// Block Kit, drawn as Slack draws it.

import { h } from "./dom.js";
import { element, image } from "./elements.js";
import { markdown } from "./markdown.js";
import { channelLink, emoji, groupMention, link, mention, mrkdwn, text } from "./mrkdwn.js";

/** Blocks as elements. `press(element, chosen)` is called when somebody presses a button that is not a link, or chooses something. */
export function blocks(list, press) {
  return list.map((block) => {
    const draw = BLOCKS[block.type] ?? unknown;
    return h("div", { class: `block block-${block.type}`, "data-block": block.block_id }, draw(block, press));
  });
}

const unknown = (block) => h("p", { class: "unknown" }, `A “${block.type}” block, which this page does not draw.`);

const words = (object) => h("div", { class: "text" }, text(object));

const BLOCKS = {
  header: (block) => h("h4", {}, text(block.text)),
  divider: () => h("hr"),
  section: (block, press) => [
    h("div", { class: "section-main" },
      block.text ? words(block.text) : null,
      block.fields ? h("div", { class: "fields" }, block.fields.map(words)) : null),
    block.accessory ? h("div", { class: "accessory" }, element(block.accessory, press)) : null,
  ],
  context: (block) => block.elements.map((part) => (part.type === "image" ? image(part) : h("span", { class: "text" }, text(part)))),
  actions: (block, press) => block.elements.map((part) => element(part, press)),
  context_actions: (block, press) => block.elements.map((part) => element(part, press)),
  image: (block) => [block.title ? h("p", {}, text(block.title)) : null, image(block)],
  video: (block) => [h("p", {}, h("b", {}, block.title_url ? link(block.title_url, text(block.title)) : text(block.title))), image(block)],
  markdown: (block) => markdown(block.text),
  rich_text: (block) => block.elements.map(richText),
  table: (block) => h("table", {}, block.rows.map((row, index) => h("tr", {}, row.map((cell) => h(index ? "td" : "th", {}, tableCell(cell)))))),
  alert: (block) => h("div", { class: `alert ${block.level ?? ""}` }, words(block.text)),
  card: (block, press) => h("div", { class: "kit-card" },
    block.title ? h("b", {}, text(block.title)) : null,
    block.subtitle ? h("small", {}, text(block.subtitle)) : null,
    block.body ? words(block.body) : null,
    block.actions ? h("div", { class: "block-actions" }, block.actions.map((part) => element(part, press))) : null),
  input,
};

/** What is entered is sent with the rest, and by itself only if the app asked for that. */
function input(block, press) {
  const isGroup = ["checkboxes", "radio_buttons"].includes(block.element.type);
  const label = h("span", {}, text(block.label), block.optional ? h("small", {}, " (optional)") : null);
  return h(isGroup ? "fieldset" : "label", {},
    isGroup ? h("legend", {}, label) : label,
    element(block.element, block.dispatch_action ? press : () => {}),
    block.hint ? h("small", {}, text(block.hint)) : null);
}

const tableCell = (cell) => (cell.type === "rich_text" ? cell.elements.map(richText) : String(cell.text ?? cell.value));

/** Legacy attachments: a bar in their colour, and what stands beside it (Slack docs: secondary message attachments). */
export function attachments(list, press) {
  return (list ?? []).map((part) => {
    const bar = h("div", { class: "attachment" },
      part.author_name ? h("p", {}, h("b", {}, part.author_name)) : null,
      part.title ? h("p", {}, h("b", {}, part.title_link ? link(part.title_link, part.title) : part.title)) : null,
      part.text ? h("div", { class: "text" }, mrkdwn(part.text)) : null,
      part.fields ? h("div", { class: "fields" }, part.fields.map((field) =>
        h("div", { class: field.short ? "text" : "text wide" }, h("b", {}, field.title), h("br"), mrkdwn(field.value ?? "")))) : null,
      part.blocks ? blocks(part.blocks, press) : null,
      part.footer ? h("p", { class: "footer" }, part.footer) : null);
    const colour = { good: "#2eb886", warning: "#daa038", danger: "#a30200" }[part.color] ?? `#${String(part.color ?? "").replace("#", "")}`;
    if (/^#[0-9a-f]{6}$/i.test(colour)) bar.style.setProperty("--bar", colour);
    return [part.pretext ? h("div", { class: "text" }, mrkdwn(part.pretext)) : null, bar];
  });
}

function richText(part) {
  const children = () => part.elements.map(richElement);
  switch (part.type) {
    case "rich_text_section": return h("div", { class: "text" }, children());
    case "rich_text_quote": return h("blockquote", {}, children());
    case "rich_text_preformatted": return h("pre", { class: "code-block" }, h("code", {}, children()));
    case "rich_text_list": return richList(part);
    default: return unknown(part);
  }
}

function richList(part) {
  const list = h(part.style === "ordered" ? "ol" : "ul", { class: `indent-${Math.min(part.indent ?? 0, 8)}` }, part.elements.map((item) => h("li", {}, richText(item))));
  if (part.offset) list.start = part.offset + 1;
  return list;
}

function richElement(part) {
  switch (part.type) {
    case "text": return styled(part);
    case "emoji": return emoji(part.name);
    case "link": return link(part.url, part.text);
    case "user": return mention(part.user_id);
    case "usergroup": return groupMention(part.usergroup_id);
    case "channel": return channelLink(part.channel_id);
    case "broadcast": return h("span", { class: "mention loud" }, `@${part.range}`);
    case "date": return h("time", {}, part.fallback ?? new Date(part.timestamp * 1000).toLocaleString());
    case "color": return h("code", {}, part.value);
    default: return unknown(part);
  }
}

function styled(part) {
  const lines = part.text.split("\n").flatMap((line, index) => (index ? [h("br"), line] : [line]));
  const tags = { code: "code", bold: "b", italic: "i", strike: "s" };
  return Object.entries(tags).reduce((inner, [style, tag]) => (part.style?.[style] ? [h(tag, {}, inner)] : inner), lines);
}
