//! The buttons of a pending request, and the form that asks for a reason.
//!
//! Block and buttons have the ids of the official plugin (2026): either understands the other's messages. Their value is the request's
//! id and nothing else; who reviews is what Slack says of the click.

use serde_json::{Value, json};

use crate::slack::message::blocks;
use crate::slack::text;

/// The block of the buttons.
pub const BLOCK: &str = "review_block";
/// The button that approves.
pub const APPROVE: &str = "approve_button";
/// The button that denies.
pub const DENY: &str = "deny_button";
/// The button that opens a form with decision and reason.
pub const WITH_REASON: &str = "review_with_reason_button";

/// The form.
pub const FORM: &str = "access_request_review";
/// The form's field for the reason.
pub const REASON_BLOCK: &str = "reason";
/// The form's choice of the decision, where the button has not made it.
pub const DECISION_BLOCK: &str = "decision";
/// The element in either.
pub const ELEMENT: &str = "value";
/// The choice to approve.
pub const CHOICE_APPROVE: &str = "approve";
/// The choice to deny.
pub const CHOICE_DENY: &str = "deny";

/// Most characters of a text field in a form (Slack docs: plain-text input).
const LONGEST_INPUT: usize = 3_000;
/// Longest id of a request that is taken from a button; Teleport's are UUIDs of 36 characters.
const LONGEST_ID: usize = 100;

/// Which buttons a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReviewButtons {
    /// A third one, for a review with a reason.
    pub with_reason: bool,
}

/// The form that a button opens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReviewForm {
    /// What was decided by the button; none where the form asks.
    pub decision: Option<Choice>,
    /// Whether a reason is needed whatever is decided.
    pub reason_required: bool,
    /// Who asks, and for what, as far as known; every string may be hostile.
    pub user: String,
    /// The roles and resources that are asked for.
    pub wanted: Vec<String>,
    /// The reason that the requester gave.
    pub request_reason: String,
    /// What comes back when the form is submitted.
    pub metadata: String,
}

/// What a form or a button decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// To approve.
    Approve,
    /// To deny.
    Deny,
}

/// Whether a text can be the id of a request.
pub fn is_request_id(text: &str) -> bool {
    (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The block of buttons; none for an id that no button carries.
pub(super) fn buttons(request_id: &str, buttons: ReviewButtons) -> Option<Value> {
    if !is_request_id(request_id) {
        return None;
    }
    let button = |action: &str, label: &str, spoken: &str| {
        json!({
            "type": "button", "action_id": action, "value": request_id, "text": plain(label), "accessibility_label": spoken,
        })
    };
    let mut approve = button(APPROVE, "Approve", "Approve access request button");
    let mut deny = button(DENY, "Deny", "Deny access request button");
    if let (Some(approve), Some(deny)) = (approve.as_object_mut(), deny.as_object_mut()) {
        approve.insert("style".to_owned(), json!("primary"));
        deny.insert("style".to_owned(), json!("danger"));
    }
    let mut elements = vec![approve, deny];
    if buttons.with_reason {
        elements.push(button(WITH_REASON, "…with a reason", "Review access request with a reason button"));
    }
    Some(json!({"type": "actions", "block_id": BLOCK, "elements": elements}))
}

/// The form as a modal view.
pub fn render_form(form: &ReviewForm) -> Value {
    let (title, submit) = match form.decision {
        Some(Choice::Approve) => ("Approve request", "Approve"),
        Some(Choice::Deny) => ("Deny request", "Deny"),
        None => ("Review request", "Submit"),
    };
    let mut parts = Vec::new();
    if !text::is_blank(&form.user) {
        let wanted = text::list(form.wanted.iter().map(|name| text::code(name, 100)), ", ", 800);
        let wanted = if wanted.is_empty() { "access".to_owned() } else { wanted };
        let mut about = format!("{} asks for {wanted}", text::code(&form.user, 200));
        if !text::is_blank(&form.request_reason) {
            about.push('\n');
            about.push_str(&text::block(&form.request_reason, 1_000));
        }
        parts.push(blocks::section(&about));
    }
    if form.decision.is_none() {
        let choice = |value: &str, label: &str| json!({"text": plain(label), "value": value});
        parts.push(json!({
            "type": "input", "block_id": DECISION_BLOCK, "label": plain("Decision"),
            "element": {
                "type": "radio_buttons", "action_id": ELEMENT,
                "options": [choice(CHOICE_APPROVE, "Approve"), choice(CHOICE_DENY, "Deny")],
            },
        }));
    }
    parts.push(json!({
        "type": "input", "block_id": REASON_BLOCK, "optional": !form.reason_required,
        "label": plain("Reason"), "hint": plain("Teleport stores it with your review. Everybody who sees the request reads it."),
        "element": {
            "type": "plain_text_input", "action_id": ELEMENT, "multiline": true, "max_length": LONGEST_INPUT,
            "focus_on_load": form.decision.is_some(),
        },
    }));
    json!({
        "type": "modal", "callback_id": FORM, "title": plain(title), "submit": plain(submit), "close": plain("Cancel"),
        "private_metadata": form.metadata, "blocks": parts,
    })
}

fn plain(text: &str) -> Value {
    json!({"type": "plain_text", "text": text})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_an_id_becomes_a_button() {
        for id in ["", "a b", "<!channel>", &"x".repeat(101), "é"] {
            assert_eq!(buttons(id, ReviewButtons { with_reason: true }), None, "{id}");
        }
        let block = buttons("0192f0c1-7a53", ReviewButtons { with_reason: false }).unwrap();
        assert_eq!(block["elements"].as_array().unwrap().len(), 2);
        assert_eq!(block["elements"][0]["value"], "0192f0c1-7a53");
    }

    #[test]
    fn a_form_asks_for_what_the_button_did_not_decide() {
        let decided = render_form(&ReviewForm { decision: Some(Choice::Deny), ..ReviewForm::default() });
        assert_eq!(decided["blocks"].as_array().unwrap().len(), 1);
        let open = render_form(&ReviewForm::default());
        assert_eq!(open["blocks"][0]["block_id"], DECISION_BLOCK);
    }

    #[test]
    fn what_a_requester_wrote_stays_text_in_the_form() {
        let form = ReviewForm {
            user: "<!channel>".to_owned(),
            wanted: vec!["*bold*".to_owned(); 100],
            request_reason: "`a` <@U1>".to_owned(),
            ..ReviewForm::default()
        };
        let shown = render_form(&form);
        let about = shown["blocks"][0]["text"]["text"].as_str().unwrap();
        assert!(!about.contains("<!channel>") && !about.contains("<@U1>"), "{about}");
        assert!(text::len(about) < 3_000);
    }
}
