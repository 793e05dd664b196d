// Block Kit's elements. Buttons work; everything else is drawn as Slack draws it, and cannot be used here.

import { h } from "./dom.js";
import { channelLink, link, mention, text } from "./mrkdwn.js";

/** An element. `press(element)` is called when somebody presses a button that is not a link. */
export const element = (part, press) => (ELEMENTS[part.type] ?? menu)(part, press);

const ELEMENTS = {
  image,
  button,
  workflow_button: (part) => h("button", { class: looks(part), type: "button", disabled: true }, text(part.text)),
  icon_button: (part, press) => button({ ...part, text: { type: "plain_text", text: "🗑" }, accessibility_label: part.accessibility_label ?? part.text.text }, press),
  feedback_buttons: (part) => [part.positive_button, part.negative_button].map((one, index) =>
    h("button", { class: "slack-button", type: "button", disabled: true, "aria-label": one.accessibility_label }, index ? "👎 " : "👍 ", text(one.text))),
  overflow: () => h("button", { class: "slack-button", type: "button", disabled: true, "aria-label": "More" }, "⋯"),
  checkboxes: (part) => choices(part, "checkbox", part.initial_options ?? []),
  radio_buttons: (part) => choices(part, "radio", part.initial_option ? [part.initial_option] : []),
  plain_text_input: (part) => (part.multiline ? h("textarea", { rows: 4, ...field(part) }) : h("input", field(part))),
  rich_text_input: (part) => h("textarea", { rows: 4, ...field({ placeholder: part.placeholder }) }),
  email_text_input: (part) => h("input", field(part)),
  url_text_input: (part) => h("input", field(part)),
  number_input: (part) => h("input", field(part)),
  file_input: () => h("button", { class: "slack-button", type: "button", disabled: true }, "Upload files"),
};

const looks = (part) => `slack-button ${part.style ?? ""}`;

const field = (part) => ({ value: part.initial_value ?? "", placeholder: part.placeholder?.text ?? "", autocomplete: "off" });

/** An image's place with its words: images live on the internet, which this page does without. */
export function image(part) {
  return h("span", { class: "picture", role: "img", "aria-label": part.alt_text }, `🖼 ${part.alt_text}`);
}

function button(part, press) {
  if (part.url) return h("span", { class: looks(part) }, link(part.url, text(part.text)));
  const ask = () => (part.confirm ? confirm(part.confirm, () => press(part)) : press(part));
  return h("button", { class: looks(part), type: "button", "aria-label": part.accessibility_label, "data-focus": part.action_id, onclick: ask }, text(part.text));
}

/** Menus and pickers: what is chosen, or the words that stand there until something is. */
function menu(part) {
  const label = chosen(part) ?? text(part.placeholder ?? { text: PLACEHOLDERS[part.type] ?? "Choose an option" });
  return h("button", { class: "slack-button menu", type: "button", disabled: true }, label, h("span", { "aria-hidden": "true" }, " ▾"));
}

const PLACEHOLDERS = { datepicker: "Select a date", timepicker: "Select a time", datetimepicker: "Select a date and time" };

function chosen(part) {
  if (part.initial_date_time) return new Date(part.initial_date_time * 1000).toLocaleString();
  if (part.initial_option) return text(part.initial_option.text);
  if (part.initial_user) return mention(part.initial_user);
  if (part.initial_channel) return channelLink(part.initial_channel);
  return part.initial_date ?? part.initial_time;
}

function choices(part, type, initial) {
  const option = (one) => h("label", { class: "choice" },
    h("input", { type, disabled: true, checked: initial.some((chosen) => chosen.value === one.value) }),
    h("span", { class: "text" }, text(one.text), one.description ? h("small", {}, text(one.description)) : null));
  return h("div", { class: "choices" }, part.options.map(option));
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
