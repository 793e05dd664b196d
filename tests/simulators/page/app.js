// Starts every part of the page.

import { byId, complain } from "./dom.js";
import * as faults from "./faults.js";
import * as modal from "./modal.js";
import * as news from "./news.js";
import * as slack from "./slack.js";
import { connect, on, state } from "./state.js";
import * as steps from "./steps.js";
import * as teleport from "./teleport.js";
import * as timeline from "./timeline.js";

/** One part of the picture at the top: what it is doing, and whether that is well. */
function part(id, text, mood) {
  const element = byId(id);
  element.className = mood;
  element.querySelector("dd").textContent = text;
}

function drawPipeline() {
  if (!state.connected) {
    for (const id of ["part-teleport", "part-worker", "part-slack"]) part(id, "not reachable", "bad");
    return;
  }
  const { slack: workspace, teleport: cluster, worker } = state;
  const isDisturbed = (service) => faults.listed().some((fault) => fault.service === service);
  if (cluster) part("part-teleport", cluster.is_up ? requests(cluster) : "away", !cluster.is_up ? "bad" : isDisturbed("teleport") ? "warn" : "good");
  if (worker) {
    const watches = cluster?.watchers > 0;
    if (worker.pid) part("part-worker", watches ? "running, watching" : "running, connecting", watches ? "good" : "warn");
    else part("part-worker", worker.ended ? end(worker.ended) : "starting", "bad");
  }
  if (workspace) {
    const posted = workspace.channels.flatMap((channel) => channel.messages).filter(({ object }) => object.bot_id).length;
    const messages = posted === 1 ? "1 message" : `${posted} messages`;
    if (!workspace.accepts_token) part("part-slack", "refuses the token", "bad");
    else part("part-slack", messages, isDisturbed("slack") ? "warn" : "good");
  }
}

/** How the program ended, in plain words where there are some. */
function end(status) {
  if (status.includes("SIGKILL")) return "killed";
  return status === "exit status: 0" ? "stopped" : `ended: ${status}`;
}

function requests(cluster) {
  const pending = cluster.requests.filter((request) => request.state === "PENDING").length;
  return pending === 1 ? "1 pending request" : `${pending} pending requests`;
}

/** Says that the demo is gone, and that it is back. */
function drawConnection() {
  byId("connection").textContent = state.connected ? "" : "The demo has ended, or cannot be reached. This page goes on as soon as it runs again.";
}

for (const part of [slack, modal, news, teleport, steps, faults, timeline]) part.start();
on(["slack", "teleport", "worker", "connection"], drawPipeline);
on(["connection"], drawConnection);
connect().catch(() => complain("The demo does not answer. Is it still running?"));
