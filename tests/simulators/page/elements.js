// Block Kit's elements that are pressed or looked at; those in which something is chosen or typed are in controls.js.

import { control } from "./controls.js";
import { h } from "./dom.js";
import { link, text } from "./mrkdwn.js";

/** An element. `press(element, chosen)` is called when somebody presses a button that is not a link, or chooses something. */
export function element(part, press) {
  const act = (acted, chosen) => (acted.confirm ? confirm(acted.confirm, () => press(acted, chosen)) : press(acted, chosen));
  return (ELEMENTS[part.type] ?? control)(part, act);
}

const ELEMENTS = {
  image,
  button,
  workflow_button: (part) => h("button", { class: looks(part), type: "button", disabled: true }, text(part.text)),
  icon_button: (part, press) => button({ ...part, text: { type: "plain_text", text: "🗑" }, accessibility_label: part.accessibility_label ?? part.text.text }, press),
  feedback_buttons: (part, press) => [part.positive_button, part.negative_button].map((one, index) => h("button", {
    class: "slack-button", type: "button", "aria-label": one.accessibility_label, "data-focus": `${part.action_id}/${one.value}`, onclick: () => press(part, { value: one.value }),
  }, index ? "👎 " : "👍 ", text(one.text))),
};

const looks = (part) => `slack-button ${part.style ?? ""}`;

/** An image's place with its words: images live on the internet, which this page does without. */
export function image(part) {
  return h("span", { class: "picture", role: "img", "aria-label": part.alt_text }, `🖼 ${part.alt_text}`);
}

function button(part, press) {
  if (part.url) return h("span", { class: looks(part) }, link(part.url, text(part.text)));
  return h("button", { class: looks(part), type: "button", "aria-label": part.accessibility_label, "data-focus": part.action_id, onclick: () => press(part) }, text(part.text));
}

function confirm(question, then) {
  const dialog = h("dialog", { class: "modal", "aria-label": question.title.text, onclose: () => dialog.remove() },
    h("h3", {}, text(question.title)),
    h("div", { class: "text" }, text(question.text)),
    h("div", { class: "modal-actions" },
      h("button", { onclick: () => dialog.close() }, text(question.deny)),
      h("button", { class: question.style === "danger" ? "danger" : "primary", onclick: () => { dialog.close(); then(); } }, text(question.confirm))));
  document.body.append(dialog);
  dialog.showModal();
}
