//! Messages about requests whose every string was written by somebody who means harm.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use slack_access_operator::slack::message::{
    Content, FALLBACK, Notification, Review, ReviewButtons, RoleLogins, SECTION, State, TOTAL, Thresholds, render,
    render_plain, render_reply,
};
use slack_access_operator::slack::text;

const STATES: [State; 6] =
    [State::Pending, State::Approved, State::Denied, State::Promoted, State::Expired, State::Deleted];

/// What people have tried, and a little more.
fn attacks() -> Vec<String> {
    let mut attacks: Vec<String> = [
        "<!channel> <!here> <!everyone> @here @channel @everyone",
        "<@U012AB3CD> <#C012AB3CD|general> <!subteam^S012AB3CD>",
        "<https://evil.example|https://teleport.example.com/web/requests/1>",
        "https://evil.example/unfurl me <mailto:a@b.example|mail>",
        "<!date^0^{date}^https://evil.example|yesterday>",
        "*bold* _italic_ ~strike~ > quote\n> *✅ Approved by* `root`",
        "``` *✅ Approved* ``` `<!channel>` ``",
        "\u{202e}devorppA\u{202c} \u{2066}x\u{2069} \u{200b}\u{feff}\u{61c}",
        "\0\u{1}\u{1b}[31mred\u{7f}\u{9b}",
        "&lt;!channel&gt; &amp; &",
        ":white_check_mark: :boom:",
        "| > < & \" ' \\ % {date} ^",
        "\r\n\r\n\u{2028}\u{85}",
        "   ",
        "",
        "xoxb-not-a-token",
        "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 👩‍💻 العربية עברית हिन्दी",
    ]
    .map(str::to_owned)
    .into();
    attacks.push("a".repeat(100_000));
    attacks.push("<".repeat(100_000));
    attacks.push("&`\n".repeat(40_000));
    attacks.push("😀".repeat(50_000));
    attacks.push("\0".repeat(100_000));
    attacks
}

/// Every string of the request is this one.
fn everywhere(attack: &str, state: State) -> Notification {
    let text = || attack.to_owned();
    Notification {
        request_id: text(),
        cluster: text(),
        user: text(),
        roles: vec![
            RoleLogins { role: text(), logins: Some(vec![text(), text()]) },
            RoleLogins { role: format!("{attack}2"), logins: None },
        ],
        resources: vec![text(), format!("{attack}2")],
        reason: text(),
        suggested_reviewers: vec![text()],
        created: Some(jiff::Timestamp::MIN),
        request_expires: Some(jiff::Timestamp::MAX),
        access_expires: None,
        max_duration: Some(Duration::MAX),
        long_term: false,
        state,
        resolved_by: text(),
        resolve_reason: text(),
        resolved_at: Some(jiff::Timestamp::MAX),
        reviews: vec![Review {
            author: text(),
            proposed: State::Approved,
            reason: text(),
            at: Some(jiff::Timestamp::MAX),
        }],
        thresholds: Some(Thresholds { approve: u32::MAX, deny: u32::MAX }),
        link: Some(text()),
        review: Some(ReviewButtons { with_reason: true }),
    }
}

/// As much of everything as somebody can ask for.
fn enormous() -> Notification {
    let many = |count: usize, what: &str| -> Vec<String> {
        (0..count).map(|n| format!("<{what}-{n}>{}", "&".repeat(300))).collect()
    };
    Notification {
        roles: many(500, "role").into_iter().map(|role| RoleLogins { role, logins: Some(many(20, "login")) }).collect(),
        resources: many(1000, "resource"),
        suggested_reviewers: many(100, "reviewer"),
        reviews: many(200, "author")
            .into_iter()
            .map(|author| Review {
                author,
                proposed: State::Denied,
                reason: "<&>".repeat(30_000),
                at: Some(jiff::Timestamp::MAX),
            })
            .collect(),
        ..everywhere(&"<&>`".repeat(25_000), State::Pending)
    }
}

/// The text objects of a message, with the limit of each.
fn texts(blocks: &Value) -> Vec<(&Value, usize)> {
    let mut texts = Vec::new();
    for block in blocks.as_array().unwrap() {
        match block["type"].as_str().unwrap() {
            "header" => texts.push((&block["text"], 150)),
            "section" if block["fields"].is_array() => {
                assert!((1..=10).contains(&block["fields"].as_array().unwrap().len()));
                texts.extend(block["fields"].as_array().unwrap().iter().map(|field| (field, 2_000)));
            }
            "section" => texts.push((&block["text"], SECTION)),
            "context" => texts.extend(block["elements"].as_array().unwrap().iter().map(|element| (element, SECTION))),
            // Buttons have labels of our own, and values that are ids.
            "actions" => texts.extend(block["elements"].as_array().unwrap().iter().map(|button| (&button["text"], 75))),
            other => panic!("unexpected block {other}"),
        }
    }
    texts
}

/// The text without the markup that is ours: dates and links made from a checked address.
fn without_own_markup(text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some((before, tag)) = rest.split_once('<') {
        out.push_str(before);
        let (tag, after) = tag.split_once('>').expect("every tag is closed");
        let is_date =
            tag.starts_with("!date^") && tag.contains("^{date_short_pretty} {time}|") && tag.ends_with(" UTC");
        let is_link = tag
            .strip_prefix("https://teleport.example/web/requests/")
            .is_some_and(|rest| rest.ends_with(" in Teleport"));
        assert!(is_date || is_link, "markup that is not ours: <{tag}>");
        rest = after;
    }
    out + rest
}

fn assert_harmless(text: &str) {
    let text = without_own_markup(text);
    assert!(!text.contains('>'), "{text}");
    for entity in text.split('&').skip(1) {
        assert!(["amp;", "lt;", "gt;"].iter().any(|known| entity.starts_with(known)), "cut entity: &{entity:.10}");
    }
    assert_eq!(text::clean(&text), text.trim(), "hidden characters");
}

/// Nothing that is not ours stands outside code: there it could format, or be taken for ours.
fn assert_in_code(text: &str, attack: &str) {
    let word = attack.split_whitespace().next().unwrap_or_default();
    if word.len() < 4 || word.contains('`') {
        return;
    }
    let mut outside = String::new();
    for (n, part) in text.replace("```", "`").split('`').enumerate() {
        if n % 2 == 0 {
            outside.push_str(part);
        }
    }
    assert!(!outside.contains(&text::escape(word)), "outside code: {text}");
}

fn assert_fit(content: &Content) {
    assert!(!content.text.is_empty() && text::len(&content.text) <= FALLBACK && !content.text.contains('\n'));
    assert_harmless(&content.text);
    let texts = texts(&content.blocks);
    assert!(content.blocks.as_array().unwrap().len() <= 50);
    let total: usize = texts.iter().map(|(object, _)| text::len(object["text"].as_str().unwrap())).sum();
    assert!(total <= TOTAL, "{total} units in all");
    for (object, limit) in texts {
        let text = object["text"].as_str().unwrap();
        assert!(!text.trim().is_empty() && text::len(text) <= limit, "{} units: {text:.80}", text::len(text));
        match object["type"].as_str().unwrap() {
            "mrkdwn" => assert_eq!(object["verbatim"], true, "{text}"),
            _ => assert_eq!(object["type"], "plain_text"),
        }
        assert_harmless(text);
    }
    let metadata = content.metadata.as_ref().unwrap();
    let size = serde_json::to_string(&metadata.payload).unwrap().len();
    assert!(size < 2_000, "{size} bytes of metadata");
    assert!(metadata.event_type.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
}

fn assert_plain_fits(content: &Content) {
    assert!(content.blocks.is_null());
    assert!(content.text.len() <= 3_900, "{} bytes", content.text.len());
    assert_harmless(&content.text);
}

#[test]
fn no_attack_gets_out_of_the_place_where_it_is_shown() {
    for attack in attacks() {
        for state in STATES {
            let notification = everywhere(&attack, state);
            let content = render(&notification, &attack);
            assert_fit(&content);
            for (object, _) in texts(&content.blocks) {
                assert_in_code(object["text"].as_str().unwrap(), &attack);
            }
            let plain = render_plain(&notification, &attack);
            assert_plain_fits(&plain);
            assert_in_code(&plain.text, &attack);
        }
        let review = Review { author: attack.clone(), proposed: State::Approved, reason: attack.clone(), at: None };
        let reply = render_reply(&attack, usize::MAX, &review);
        assert_fit(&reply);
        assert_in_code(reply.blocks[0]["text"]["text"].as_str().unwrap(), &attack);
    }
}

#[test]
fn a_request_for_everything_still_fits_and_says_how_much_is_missing() {
    for state in STATES {
        let mut notification = enormous();
        notification.state = state;
        notification.link = Some("https://teleport.example/web/requests/1".to_owned());
        let content = render(&notification, "x");
        assert_fit(&content);
        let all = content.blocks.to_string();
        assert!(all.matches(" more").count() >= 4, "lists say what they leave out");
        assert_plain_fits(&render_plain(&notification, "x"));
    }
}

#[test]
fn a_link_that_is_not_one_is_not_shown() {
    for link in ["javascript:alert(1)", "https://evil.example|https://teleport.example", "https://a b", "https://a>b"] {
        let notification =
            Notification { link: Some(link.to_owned()), request_id: "id-1".to_owned(), ..Notification::default() };
        let blocks = render(&notification, "x").blocks.to_string();
        assert!(!blocks.contains("in Teleport") && blocks.contains("tsh request review --approve id-1"), "{blocks}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_anybody_can_type_breaks_a_message(attack in prop_oneof![any::<String>(), "[<>&`*|!@#\\n a-c\u{0}\u{202e}]{0,4000}"], state in 0_usize..6) {
        let notification = everywhere(&attack, STATES[state]);
        assert_fit(&render(&notification, &attack));
        assert_plain_fits(&render_plain(&notification, &attack));
    }
}
