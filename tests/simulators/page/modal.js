// Modals: what an app opened in front of somebody, on top of everything else.

import { blocks } from "./blocks.js";
import { isEmpty, valuesOf } from "./controls.js";
import { byId, h, reconcile } from "./dom.js";
import { nameOf } from "./message.js";
import { text } from "./mrkdwn.js";
import { EVERYBODY, persona } from "./slack.js";
import { on, post, state } from "./state.js";

/** Draws the modal on top of the stack whenever it changes. */
export function start() {
  on(["slack", "persona"], draw);
  // Escape closes it in Slack's way: the app may want to know.
  byId("modal").addEventListener("cancel", (event) => {
    event.preventDefault();
    const view = onTop();
    if (view) close(view);
  });
}

/** Whoever sees everything sees everybody's. */
function onTop() {
  const views = state.slack?.views ?? [];
  return views.filter((view) => persona() === EVERYBODY || view.user === persona()).at(-1);
}

/** The view that is being closed: a browser may ask for it twice. */
let closing = null;

async function close(view) {
  if (closing === view.id) return;
  closing = view.id;
  const closed = await post("/slack/_sim/close", { view_id: view.id });
  if (!closed) closing = null;
}

function draw() {
  const dialog = byId("modal");
  const view = onTop();
  reconcile(dialog, view ? [view] : [], { key: (one) => one.id, build: form });
  dialog.setAttribute("aria-label", view?.view.title.text ?? "");
  if (view && !dialog.open) dialog.showModal();
  if (!view && dialog.open) dialog.close();
}

function form(opened) {
  const { id, user, view, errors } = opened;
  const press = (part, chosen) => post("/slack/_sim/press", { view_id: id, action_id: part.action_id, chosen, values: valuesOf(drawn) });
  const submit = async (event) => {
    event.preventDefault();
    const values = valuesOf(drawn);
    const missing = view.blocks.filter((block) => block.type === "input" && !block.optional && isEmpty(values[block.block_id][block.element.action_id] ?? {}));
    for (const old of drawn.querySelectorAll(".problem")) old.remove();
    for (const block of missing) say(drawn, block.block_id, "Please complete this required field.");
    if (missing.length === 0) await post("/slack/_sim/submit", { view_id: id, values });
  };
  const drawn = h("form", { class: "view", noValidate: true, onsubmit: submit },
    h("h3", {}, text(view.title)),
    h("p", { class: "only-you" }, `Opened by the app for ${nameOf(user)}`),
    blocks(view.blocks, press),
    h("div", { class: "modal-actions" },
      h("button", { type: "button", "data-focus": "close", onclick: () => close(opened) }, view.close ? text(view.close) : "Close"),
      view.submit ? h("button", { class: "primary", disabled: view.submit_disabled, "data-focus": "submit" }, text(view.submit)) : null));
  for (const [block, problem] of Object.entries(errors)) say(drawn, block, problem);
  return drawn;
}

/** Says below a block what is wrong with what was entered there. */
function say(drawn, block, problem) {
  drawn.querySelector(`[data-block="${CSS.escape(block)}"]`)?.append(h("p", { class: "problem", role: "alert" }, problem));
}
