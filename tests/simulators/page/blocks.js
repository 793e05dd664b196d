// Block Kit, drawn as Slack draws it.

import { h } from "./dom.js";
import { channelLink, emoji, groupMention, link, mention, mrkdwn, plainText } from "./mrkdwn.js";

/** Blocks as elements. `press(action)` is called when somebody presses a button that is not a link. */
export function blocks(list, press) {
  return list.map((block) => {
    const draw = BLOCKS[block.type] ?? unknown;
    return h("div", { class: `block block-${block.type}` }, draw(block, press));
  });
}

const unknown = (block) => h("p", { class: "unknown" }, `A “${block.type}” block, which this page does not draw.`);

/** A text object. */
export function text(object) {
  if (!object) return [];
  return object.type === "mrkdwn" ? mrkdwn(object.text) : plainText(object.text, object.emoji !== false);
}

const BLOCKS = {
  header: (block) => h("h4", {}, text(block.text)),
  divider: () => h("hr"),
  section: (block, press) => [
    h("div", { class: "section-main" },
      block.text ? h("div", { class: "text" }, text(block.text)) : null,
      block.fields ? h("div", { class: "fields" }, block.fields.map((field) => h("div", { class: "text" }, text(field)))) : null),
    block.accessory ? h("div", { class: "accessory" }, element(block.accessory, press)) : null,
  ],
  context: (block) => block.elements.map((part) => (part.type === "image" ? image(part) : h("span", { class: "text" }, text(part)))),
  actions: (block, press) => block.elements.map((part) => element(part, press)),
  image: (block) => [block.title ? h("p", {}, text(block.title)) : null, image(block)],
  markdown: (block) => h("div", { class: "text" }, plainText(block.text)),
  rich_text: (block) => block.elements.map(richText),
  input: (block) => [
    h("label", { for: `input-${block.block_id}` }, text(block.label), block.optional ? h("small", {}, " (optional)") : null),
    input(block),
    block.hint ? h("small", {}, text(block.hint)) : null,
  ],
};

// Images live on the internet, which this page does without.
const image = (part) => h("span", { class: "picture", role: "img", "aria-label": part.alt_text }, `🖼 ${part.alt_text ?? ""}`);

function input(block) {
  const part = block.element;
  const common = { id: `input-${block.block_id}`, name: `${block.block_id}|${part.action_id}`, required: !block.optional };
  if (part.type === "plain_text_input" && part.multiline) return h("textarea", { ...common, value: part.initial_value ?? "", rows: 4 });
  if (part.options) return h("select", common, part.options.map((option) => h("option", { value: option.value }, text(option.text))));
  return h("input", { ...common, value: part.initial_value ?? "" });
}

function element(part, press) {
  if (part.type === "image") return image(part);
  if (part.type !== "button") return h("button", { class: "slack-button", disabled: true }, text(part.placeholder ?? { text: part.type }));
  const looks = `slack-button ${part.style ?? ""}`;
  if (part.url) return h("span", { class: looks }, link(part.url, part.text.text));
  const name = part.accessibility_label;
  const press_ = () => (part.confirm ? confirm(part.confirm, () => press(part)) : press(part));
  return h("button", { class: looks, type: "button", "aria-label": name, "data-focus": part.action_id, onclick: press_ }, text(part.text));
}

function confirm(question, then) {
  const close = () => dialog.remove();
  const dialog = h("dialog", { class: "modal", onclose: close },
    h("h3", {}, text(question.title)),
    h("div", { class: "text" }, text(question.text)),
    h("div", { class: "modal-actions" },
      h("button", { onclick: () => dialog.close() }, text(question.deny)),
      h("button", { class: question.style === "danger" ? "danger" : "primary", onclick: () => { dialog.close(); then(); } }, text(question.confirm))));
  document.body.append(dialog);
  dialog.showModal();
}

function richText(part) {
  const children = () => part.elements.map(richElement);
  switch (part.type) {
    case "rich_text_section": return h("div", { class: "text" }, children());
    case "rich_text_quote": return h("blockquote", {}, children());
    case "rich_text_preformatted": return h("pre", { class: "code-block" }, h("code", {}, children()));
    case "rich_text_list": return h(part.style === "ordered" ? "ol" : "ul", {}, part.elements.map((item) => h("li", {}, richText(item))));
    default: return unknown(part);
  }
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
