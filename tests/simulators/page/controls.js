// Block Kit's elements in which something is chosen or typed, and what they hold, in the words of Slack's payloads.

import { h } from "./dom.js";
import { text } from "./mrkdwn.js";
import { state } from "./state.js";

/** An element in which something is chosen or typed. `press(element, chosen)` is called when that changes. */
export function control(part, press) {
  const make = CONTROLS[part.type];
  return make ? make(part, press) : unusable(part.placeholder ? text(part.placeholder) : part.type);
}

/** What the controls below `container` hold: `{block_id: {action_id: value object}}`. */
export function valuesOf(container) {
  const values = {};
  for (const held of container.querySelectorAll("[data-action]")) {
    const block = held.closest("[data-block]").dataset.block;
    values[block] = { ...values[block], [held.dataset.action]: held.reading() };
  }
  return values;
}

/** Whether an input that has to be filled in is not. */
export const isEmpty = (value) => Object.entries(value).every(([name, held]) => name === "type" || !held || held.length === 0);

const CONTROLS = {
  static_select: (part, press) => menu(part, "selected_option", options(part), [part.initial_option], press),
  multi_static_select: (part, press) => menu(part, "selected_options", options(part), part.initial_options, press),
  users_select: (part, press) => menu(part, "selected_user", people(), [part.initial_user], press),
  multi_users_select: (part, press) => menu(part, "selected_users", people(), part.initial_users, press),
  channels_select: (part, press) => menu(part, "selected_channel", channels("public"), [part.initial_channel], press),
  multi_channels_select: (part, press) => menu(part, "selected_channels", channels("public"), part.initial_channels, press),
  conversations_select: (part, press) => menu(part, "selected_conversation", channels(), [part.initial_conversation], press),
  multi_conversations_select: (part, press) => menu(part, "selected_conversations", channels(), part.initial_conversations, press),
  overflow,
  checkboxes: (part, press) => choices(part, "checkbox", press),
  radio_buttons: (part, press) => choices(part, "radio", press),
  datepicker: (part, press) => field(part, h("input", { type: "date", value: part.initial_date ?? "" }), "selected_date", press),
  timepicker: (part, press) => field(part, h("input", { type: "time", value: part.initial_time ?? "" }), "selected_time", press),
  datetimepicker: (part, press) => {
    const input = h("input", { type: "datetime-local", value: localTime(part.initial_date_time) });
    return field(part, input, "selected_date_time", press, (value) => Date.parse(value) / 1000);
  },
  plain_text_input: (part, press) => typed(part, h(part.multiline ? "textarea" : "input"), press),
  email_text_input: (part, press) => typed(part, h("input", { inputMode: "email" }), press),
  url_text_input: (part, press) => typed(part, h("input", { inputMode: "url" }), press),
  number_input: (part, press) => typed(part, h("input", { inputMode: part.is_decimal_allowed ? "decimal" : "numeric" }), press),
  rich_text_input: (part, press) => field(part, h("textarea", { rows: 4 }), "rich_text_value", press, richText),
  file_input: () => unusable("Upload files"),
};

/** What this page has nothing behind: files, options that an app looks up. */
const unusable = (words) => h("button", { class: "slack-button", type: "button", disabled: true }, words);

/** Gives an element its name in the payload, and what it holds; tells of changes. */
function held(part, element, reading, press) {
  element.dataset.action = part.action_id;
  element.dataset.focus = part.action_id;
  element.reading = () => ({ type: part.type, ...reading() });
  element.addEventListener("change", () => press(part, reading()));
  return element;
}

function field(part, input, name, press, convert = (value) => value) {
  if (part.placeholder) input.placeholder = part.placeholder.text;
  input.autocomplete = "off";
  if (input.type !== "text" && input.tagName !== "TEXTAREA") input.setAttribute("aria-label", PICKERS[part.type]);
  return held(part, input, () => ({ [name]: input.value ? convert(input.value) : null }), press);
}

function typed(part, input, press) {
  if (part.multiline) input.rows = 4;
  if (part.max_length) input.maxLength = part.max_length;
  input.value = part.initial_value ?? "";
  return field(part, input, "value", press);
}

const PICKERS = { datepicker: "Select a date", timepicker: "Select a time", datetimepicker: "Select a date and time" };

/** A moment as the browser's own picker writes it: without a zone. */
function localTime(seconds) {
  if (!seconds) return "";
  const moment = new Date(seconds * 1000);
  return new Date(moment - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

const richText = (value) => ({ type: "rich_text", elements: [{ type: "rich_text_section", elements: [{ type: "text", text: value }] }] });

/** What a menu offers: groups of what is sent for it, and the words for it. */
function options(part) {
  const offered = (list) => list.map((option) => ({ value: option, words: text(option.text) }));
  return part.option_groups ? part.option_groups.map((group) => ({ label: group.label.text, list: offered(group.options) })) : [{ list: offered(part.options ?? []) }];
}

function people() {
  const known = state.slack.users.filter((user) => !user.deleted && user.kind !== "bot");
  return [{ list: known.map((user) => ({ value: user.id, words: user.real_name || user.name })) }];
}

function channels(kind) {
  const known = state.slack.channels.filter((channel) => channel.name && !channel.archived && (!kind || channel.kind === kind));
  return [{ list: known.map((channel) => ({ value: channel.id, words: `#${channel.name}` })) }];
}

function menu(part, name, groups, initial, press) {
  const multiple = part.type.startsWith("multi_");
  const offered = groups.flatMap((group) => group.list);
  const isInitial = (value) => (initial ?? []).some((chosen) => chosen !== undefined && (chosen.value ?? chosen) === (value.value ?? value));
  const option = (one) => h("option", { value: offered.indexOf(one), selected: isInitial(one.value) }, one.words);
  const placeholder = part.placeholder?.text ?? "Choose an option";
  const select = h("select", { class: "menu", multiple, "aria-label": part.type === "overflow" ? "More" : placeholder },
    multiple ? null : h("option", { value: "" }, placeholder),
    groups.map((group) => (group.label ? h("optgroup", { label: group.label }, group.list.map(option)) : group.list.map(option))));
  if (multiple) select.size = Math.min(Math.max(offered.length, 2), 5);
  const chosen = () => [...select.selectedOptions].filter((one) => one.value !== "").map((one) => offered[one.value].value);
  return held(part, select, () => ({ [name]: multiple ? chosen() : chosen()[0] ?? null }), press);
}

/** Shows no choice: the same one can be made again. */
function overflow(part, press) {
  const offered = { ...part, placeholder: { text: "⋯" } };
  const select = menu(offered, "selected_option", options(part), [], (acted, chosen) => {
    select.value = "";
    press(part, chosen);
  });
  return select;
}

let groups = 0;

function choices(part, type, press) {
  groups += 1;
  const initial = part.initial_options ?? [part.initial_option];
  const inputs = part.options.map((one) => h("input", {
    type, name: `choices-${groups}`, "data-focus": `${part.action_id}/${one.value}`, checked: initial.some((chosen) => chosen?.value === one.value),
  }));
  const choice = (one, index) => h("label", { class: "choice" }, inputs[index],
    h("span", { class: "text" }, text(one.text), one.description ? h("small", {}, text(one.description)) : null));
  const chosen = () => part.options.filter((_, index) => inputs[index].checked);
  const reading = () => (type === "checkbox" ? { selected_options: chosen() } : { selected_option: chosen()[0] ?? null });
  return held(part, h("div", { class: "choices", role: type === "radio" ? "radiogroup" : "group" }, part.options.map(choice)), reading, press);
}
