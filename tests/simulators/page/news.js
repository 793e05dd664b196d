// Tells screen readers what the app posted or changed in Slack: at most once a second, and never more than a few lines.

import { byId, h } from "./dom.js";
import { isReply, nameOf } from "./message.js";
import { mrkdwn } from "./mrkdwn.js";
import { on, state } from "./state.js";

const PAUSE_MILLIS = 1000;
/** More than so many at once are counted instead of read. */
const READ = 3;
const LONGEST = 200;

/** How often each message was changed, as far as it is known. */
let seen = null;
let news = [];
let timer = null;

/** Listens to Slack. */
export function start() {
  on(["slack"], collect);
}

function collect() {
  const now = new Map();
  for (const channel of state.slack.channels) {
    for (const shown of channel.messages) {
      const key = `${channel.id}/${shown.object.ts}`;
      now.set(key, shown.updates);
      if (seen && seen.get(key) !== shown.updates) note(key, channel, shown, seen.has(key));
    }
  }
  seen = now;
  if (news.length) timer ??= setTimeout(announce, PAUSE_MILLIS);
}

/** What happens to a message within the pause is told once. */
function note(key, channel, shown, wasSeen) {
  const before = news.find((item) => item.key === key);
  news = news.filter((item) => item !== before);
  const place = channel.kind === "im" ? `direct messages with ${nameOf(channel.user)}` : `channel ${channel.name}`;
  const what = (before ? before.isNew : !wasSeen) ? (isReply(shown) ? "New reply" : "New message") : "Changed message";
  news.push({ key, isNew: what !== "Changed message", place, text: `${what} in ${place}: ${spoken(shown.object.text)}` });
}

/** Without markup: `:tada:` and `<@U1>` are nothing to listen to. */
const spoken = (text) => h("p", {}, mrkdwn(text)).textContent.slice(0, LONGEST);

function announce() {
  const told = news;
  news = [];
  timer = null;
  byId("announcer").textContent = told.length > READ ? count(told) : told.map((item) => item.text).join(". ");
}

function count(told) {
  const added = told.filter((item) => item.isNew).length;
  const places = [...new Set(told.map((item) => item.place))];
  return `${added} new and ${told.length - added} changed messages in ${places.join(", ")}`;
}
