//! The page's files, built into the program: it needs no other directory and no internet.

/// A file of the page.
pub(super) struct Asset {
    pub(super) path: &'static str,
    pub(super) kind: &'static str,
    pub(super) text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! asset {
    ($path:literal, $kind:expr, $file:literal) => {
        Asset { path: $path, kind: $kind, text: include_str!(concat!("../../page/", $file)) }
    };
}

/// All of them.
pub(super) const ASSETS: &[Asset] = &[
    asset!("/", HTML, "index.html"),
    asset!("/page/layout.css", CSS, "layout.css"),
    asset!("/page/slack.css", CSS, "slack.css"),
    asset!("/page/teleport.css", CSS, "teleport.css"),
    asset!("/page/app.js", SCRIPT, "app.js"),
    asset!("/page/blocks.js", SCRIPT, "blocks.js"),
    asset!("/page/controls.js", SCRIPT, "controls.js"),
    asset!("/page/dom.js", SCRIPT, "dom.js"),
    asset!("/page/elements.js", SCRIPT, "elements.js"),
    asset!("/page/faults.js", SCRIPT, "faults.js"),
    asset!("/page/markdown.js", SCRIPT, "markdown.js"),
    asset!("/page/message.js", SCRIPT, "message.js"),
    asset!("/page/modal.js", SCRIPT, "modal.js"),
    asset!("/page/mrkdwn.js", SCRIPT, "mrkdwn.js"),
    asset!("/page/news.js", SCRIPT, "news.js"),
    asset!("/page/slack.js", SCRIPT, "slack.js"),
    asset!("/page/state.js", SCRIPT, "state.js"),
    asset!("/page/steps.js", SCRIPT, "steps.js"),
    asset!("/page/teleport.js", SCRIPT, "teleport.js"),
    asset!("/page/timeline.js", SCRIPT, "timeline.js"),
];
