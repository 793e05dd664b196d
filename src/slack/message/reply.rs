//! The replies in a request's thread.

use serde_json::Value;

use crate::slack::message::{Content, FALLBACK, Metadata, Review, State, blocks, parts, plain};
use crate::slack::text;

/// Most of a reviewer's words in a reply.
const REASON: usize = 2_400;

/// The reply about the review of this index. Its metadata says which, so that a lost answer can be looked up.
pub fn render_reply(request_id: &str, index: usize, review: &Review) -> Content {
    let mark = parts::mark(review.proposed);
    let deed = parts::deed(review.proposed);
    let mut shown = format!("{mark} {} {deed} the request", parts::name(&review.author));
    if let Some(at) = review.at {
        shown.push_str(" · ");
        shown.push_str(&parts::date(at));
    }
    if !text::is_blank(&review.reason) {
        shown.push('\n');
        shown.push_str(&text::block(&review.reason, REASON));
    }
    Content {
        text: plain::fallback(&format!("{mark} {} {deed} the request", review.author), FALLBACK),
        blocks: Value::Array(vec![blocks::section(&shown)]),
        metadata: Some(Metadata::of_review(request_id, index)),
    }
}

/// The reply that tells how a request ended, where the message itself cannot be updated: it belongs to another app.
pub fn render_outcome(request_id: &str, resolution: &str, state: State, reason: &str) -> Content {
    let (mark, phrase) = (state.emoji(), state.phrase());
    let mut shown = format!("{mark} The request was {phrase}");
    if !text::is_blank(reason) {
        shown.push('\n');
        shown.push_str(&text::block(reason, REASON));
    }
    Content {
        text: plain::fallback(&format!("{mark} The request was {phrase}"), FALLBACK),
        blocks: Value::Array(vec![blocks::section(&shown)]),
        metadata: Some(Metadata::of_outcome(request_id, resolution)),
    }
}
