// One message: author, blocks, reactions, and the way into its thread.

import { attachments, blocks } from "./blocks.js";
import { valuesOf } from "./controls.js";
import { h } from "./dom.js";
import { emoji, mrkdwn } from "./mrkdwn.js";
import { post, state } from "./state.js";

const HUES = [262, 200, 150, 25, 330, 95];

/** A user by id. */
export const user = (id) => state.slack.users.find((known) => known.id === id);

export const nameOf = (id) => user(id)?.real_name || user(id)?.name || id;

export const timeOf = (ts) => new Date(Number(ts) * 1000);

/** Whether a message stands in a thread below another one. */
export const isReply = (shown) => shown.object.thread_ts && shown.object.thread_ts !== shown.object.ts;

/** A square with a letter in a colour of its own; the app's has a tick. */
function avatar(id) {
  const isBot = user(id)?.kind === "bot";
  const sum = [...id].reduce((total, letter) => total + letter.codePointAt(0), 0);
  const square = h("span", { class: isBot ? "avatar app" : "avatar", "aria-hidden": "true" }, isBot ? "✓" : nameOf(id).slice(0, 1));
  square.style.setProperty("--hue", HUES[sum % HUES.length]);
  return square;
}

/**
 * A message as an article. `replies` are those of its thread, and `open` opens it; both are left out inside a thread.
 * `actor` is the id of the person who presses and reacts; `parent` is what a reply answers that was also sent to the channel.
 */
export function message(shown, { replies = [], open, actor, channel, onlyFor, parent }) {
  const { object } = shown;
  const time = timeOf(object.ts);
  const clock = time.toLocaleTimeString(undefined, { hour: "numeric", minute: "2-digit" });
  const press = (part, chosen) => post("/slack/_sim/click", {
    user: actor(), channel, ts: object.ts, action_id: part.action_id, chosen, values: valuesOf(body),
  });
  const body = h("div", { class: "message-body" }, content(shown, press), attachments(object.attachments, press));
  if (object.edited) ([...body.querySelectorAll(".text")].at(-1) ?? body).append(" ", h("span", { class: "edited" }, "(edited)"));
  const author = object.username || nameOf(object.user);
  return h("article", { class: onlyFor ? "message ephemeral" : "message", "aria-label": `${author}, ${clock}` },
    avatar(object.user),
    h("div", { class: "message-main" },
      onlyFor ? h("p", { class: "only-you" }, `Only visible to ${onlyFor}`) : null,
      h("p", { class: "byline" },
        h("b", {}, author),
        user(object.user)?.kind === "bot" ? h("span", { class: "badge" }, "APP") : null,
        h("time", { dateTime: time.toISOString(), title: time.toLocaleString() }, clock)),
      parent ? h("p", { class: "only-you" }, "replied to a thread: ", h("i", {}, parent)) : null,
      body,
      reactions(object, { actor, channel }),
      open && replies.length ? summary(replies, open) : null),
    open ? h("div", { class: "message-actions" },
      h("button", { class: "quiet", "data-focus": `reply-${object.ts}`, onclick: open, "aria-label": `Reply to ${author}, ${clock}` }, "Reply")) : null);
}

/** What Slack made blocks of is drawn from the text: there is the markup that its blocks would hold. */
function content({ object, generated_blocks: isText }, press) {
  if (object.blocks?.length && !isText) return blocks(object.blocks, press);
  return object.text ? h("div", { class: "text" }, mrkdwn(object.text)) : null;
}

function reactions(object, { actor, channel }) {
  if (!object.reactions?.length) return null;
  return h("ul", { class: "reactions", "aria-label": "Reactions" }, object.reactions.map((reaction) => {
    const who = reaction.users.map(nameOf).join(", ");
    const label = `${reaction.name.replaceAll("_", " ")}, ${reaction.count}: ${who}`;
    const react = () => post("/slack/_sim/react", { user: actor(), channel, ts: object.ts, name: reaction.name });
    const pressed = String(reaction.users.includes(actor()));
    const button = { class: "reaction", title: who, "aria-label": label, "aria-pressed": pressed, "data-focus": `reaction-${reaction.name}`, onclick: react };
    return h("li", {}, h("button", button, emoji(reaction.name), ` ${reaction.count}`));
  }));
}

function summary(replies, open) {
  const authors = [...new Set(replies.map((reply) => reply.object.user))].slice(0, 4);
  const count = replies.length === 1 ? "1 reply" : `${replies.length} replies`;
  const last = timeOf(replies.at(-1).object.ts).toLocaleTimeString(undefined, { hour: "numeric", minute: "2-digit" });
  return h("button", { class: "thread-summary", "data-focus": `thread-${replies[0].object.thread_ts}`, onclick: open },
    authors.map(avatar), h("b", {}, count), h("span", {}, `Last reply at ${last}`));
}
