#![expect(clippy::needless_pass_by_value, reason = "the tables read better so")]

use serde_json::{Value, json};

use super::*;

fn problems(blocks: &Value) -> Vec<String> {
    match check(blocks.as_array().unwrap(), Surface::Message) {
        Ok(()) => Vec::new(),
        Err(Refused::TooLong) => vec!["too long".to_owned()],
        Err(Refused::TwoTables) => vec!["two tables".to_owned()],
        Err(Refused::Invalid(problems)) => problems.iter().map(ToString::to_string).collect(),
    }
}

fn text(kind: &str, length: usize) -> Value {
    json!({"type": kind, "text": "x".repeat(length)})
}

fn section(text: Value) -> Value {
    json!([{"type": "section", "text": text}])
}

fn button(extra: Value) -> Value {
    let mut button = json!({"type": "button", "text": {"type": "plain_text", "text": "b"}, "action_id": "a"});
    button.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    json!([{"type": "actions", "elements": [button]}])
}

fn input(element: Value) -> Value {
    json!([{"type": "input", "label": text("plain_text", 5), "element": element}])
}

fn option(value: &str) -> Value {
    json!({"text": {"type": "plain_text", "text": value}, "value": value})
}

#[test]
fn what_slack_shows_is_accepted() {
    for blocks in [
        json!([]),
        section(text("mrkdwn", 3_000)),
        json!([{"type": "section", "fields": vec![text("mrkdwn", 1_300); 10]}]),
        json!([{"type": "section", "text": {"type": "mrkdwn", "text": "x", "verbatim": true}, "expand": true, "block_id": "b"}]),
        json!([{"type": "header", "text": {"type": "plain_text", "text": "x".repeat(150), "emoji": false}}]),
        json!([{"type": "divider"}, {"type": "divider", "block_id": "d"}]),
        json!([{"type": "context", "elements": [text("mrkdwn", 10), {"type": "image", "image_url": "https://a.example/x.png", "alt_text": "x"}]}]),
        json!([{"type": "image", "image_url": "https://a.example/x.png", "alt_text": "x", "title": text("plain_text", 2_000)}]),
        json!([{"type": "markdown", "text": "# x"}]),
        button(json!({"style": "danger", "value": "v", "url": "https://a.example/"})),
        button(
            json!({"confirm": {"title": text("plain_text", 100), "text": text("mrkdwn", 300), "confirm": text("plain_text", 30), "deny": text("plain_text", 30)}}),
        ),
        input(json!({"type": "plain_text_input", "action_id": "a", "multiline": true, "max_length": 3_000})),
        input(json!({"type": "number_input", "is_decimal_allowed": false, "min_value": "1", "max_value": "2"})),
        input(json!({"type": "datepicker", "initial_date": "2026-02-28"})),
        input(json!({"type": "timepicker", "initial_time": "23:59"})),
        json!([{"type": "section", "text": text("plain_text", 1), "accessory": {"type": "static_select", "action_id": "s", "options": [option("a"), option("b")], "initial_option": option("b")}}]),
        json!([{"type": "section", "text": text("plain_text", 1), "accessory": {"type": "static_select", "options": [option("a")], "initial_option": {"text": {"type": "plain_text", "text": "a", "emoji": true}, "value": "a"}}}]),
        json!([{"type": "section", "text": text("plain_text", 1), "accessory": {"type": "overflow", "options": [option("a")]}}]),
        json!([{"type": "rich_text", "elements": [
            {"type": "rich_text_section", "elements": [{"type": "text", "text": "x", "style": {"bold": true}}, {"type": "user", "user_id": "U1"}]},
            {"type": "rich_text_list", "style": "bullet", "elements": [{"type": "rich_text_section", "elements": []}]},
            {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "x"}], "border": 0},
            {"type": "rich_text_quote", "elements": [{"type": "link", "url": "https://a.example"}]},
        ]}]),
        json!([{"type": "table", "rows": [[{"type": "raw_text", "text": "a"}], [{"type": "raw_text", "text": "b"}]], "column_settings": [{"align": "right"}]}]),
        json!([{"type": "video", "alt_text": "x", "title": text("plain_text", 10), "thumbnail_url": "https://a.example/t.png", "video_url": "https://a.example/v"}]),
    ] {
        assert_eq!(problems(&blocks), Vec::<String>::new(), "{blocks}");
    }
}

#[test]
fn what_slack_refuses_is_refused_at_the_right_place() {
    let confirm = |title: Value| json!({"confirm": {"title": title, "text": text("plain_text", 1), "confirm": text("plain_text", 1), "deny": text("plain_text", 1)}});
    for (blocks, expected) in [
        (json!(["x"]), "must provide an object [json-pointer:/blocks/0]"),
        (json!([{"text": "x"}]), "missing required field: type [json-pointer:/blocks/0]"),
        (json!([{"type": 1}]), "must provide a string [json-pointer:/blocks/0/type]"),
        (json!([{"type": "nonsense"}]), "unsupported type: nonsense [json-pointer:/blocks/0/type]"),
        (json!([{"type": "button"}]), "unsupported type: button [json-pointer:/blocks/0/type]"),
        (
            json!([{"type": "alert", "text": text("plain_text", 1)}]),
            "unsupported type: alert [json-pointer:/blocks/0/type]",
        ),
        (section(text("mrkdwn", 3_001)), "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"),
        (section(text("mrkdwn", 0)), "must be more than 0 characters [json-pointer:/blocks/0/text/text]"),
        (
            section(json!({"type": "mrkdwn", "text": " \n"})),
            "must be more than 0 characters [json-pointer:/blocks/0/text/text]",
        ),
        (section(json!("x")), "must provide an object [json-pointer:/blocks/0/text]"),
        (section(json!(null)), "must provide an object [json-pointer:/blocks/0/text]"),
        (section(json!({"type": "mrkdwn"})), "missing required field: text [json-pointer:/blocks/0/text]"),
        (section(json!({"type": "mrkdwn", "text": 1})), "must provide a string [json-pointer:/blocks/0/text/text]"),
        (
            section(json!({"type": "html", "text": "x"})),
            "failed to match all allowed schemas [json-pointer:/blocks/0/text]",
        ),
        (
            section(json!({"type": "mrkdwn", "text": "x", "emoji": true})),
            "invalid additional property: emoji [json-pointer:/blocks/0/text]",
        ),
        (
            section(json!({"type": "plain_text", "text": "x", "verbatim": true})),
            "invalid additional property: verbatim [json-pointer:/blocks/0/text]",
        ),
        (json!([{"type": "section"}]), "missing required field: text [json-pointer:/blocks/0]"),
        (json!([{"type": "section", "fields": []}]), "must provide at least 1 items [json-pointer:/blocks/0/fields]"),
        (
            json!([{"type": "section", "fields": vec![text("mrkdwn", 1); 11]}]),
            "no more than 10 items allowed [json-pointer:/blocks/0/fields]",
        ),
        (
            json!([{"type": "section", "fields": [text("mrkdwn", 2_001)]}]),
            "must be less than 2001 characters [json-pointer:/blocks/0/fields/0/text]",
        ),
        (
            json!([{"type": "section", "text": text("mrkdwn", 1), "elements": []}]),
            "invalid additional property: elements [json-pointer:/blocks/0]",
        ),
        (
            json!([{"type": "section", "text": text("mrkdwn", 1), "accessory": {"type": "plain_text_input"}}]),
            "unsupported type: plain_text_input [json-pointer:/blocks/0/accessory/type]",
        ),
        (
            json!([{"type": "header", "text": text("mrkdwn", 1)}]),
            "failed to match all allowed schemas [json-pointer:/blocks/0/text]",
        ),
        (
            json!([{"type": "header", "text": text("plain_text", 151)}]),
            "must be less than 151 characters [json-pointer:/blocks/0/text/text]",
        ),
        (json!([{"type": "divider", "text": "x"}]), "invalid additional property: text [json-pointer:/blocks/0]"),
        (
            json!([{"type": "context", "elements": []}]),
            "must provide at least 1 items [json-pointer:/blocks/0/elements]",
        ),
        (
            json!([{"type": "context", "elements": vec![text("mrkdwn", 1); 11]}]),
            "no more than 10 items allowed [json-pointer:/blocks/0/elements]",
        ),
        (
            json!([{"type": "context", "elements": [{"type": "button"}]}]),
            "unsupported type: button [json-pointer:/blocks/0/elements/0/type]",
        ),
        (
            json!([{"type": "actions", "elements": []}]),
            "must provide at least 1 items [json-pointer:/blocks/0/elements]",
        ),
        (json!([{"type": "actions"}]), "missing required field: elements [json-pointer:/blocks/0]"),
        (button(json!({"style": "default"})), "must be a valid enum value [json-pointer:/blocks/0/elements/0/style]"),
        (
            button(json!({"text": text("mrkdwn", 1)})),
            "failed to match all allowed schemas [json-pointer:/blocks/0/elements/0/text]",
        ),
        (
            button(json!({"text": text("plain_text", 76)})),
            "must be less than 76 characters [json-pointer:/blocks/0/elements/0/text/text]",
        ),
        (
            button(json!({"value": "x".repeat(2_001)})),
            "must be less than 2001 characters [json-pointer:/blocks/0/elements/0/value]",
        ),
        (button(json!({"value": 7})), "must provide a string [json-pointer:/blocks/0/elements/0/value]"),
        (button(json!({"url": "javascript:alert(1)"})), "must be a valid url [json-pointer:/blocks/0/elements/0/url]"),
        (button(json!({"url": "teleport.example"})), "must be a valid url [json-pointer:/blocks/0/elements/0/url]"),
        (
            button(json!({"action_id": "x".repeat(256)})),
            "must be less than 256 characters [json-pointer:/blocks/0/elements/0/action_id]",
        ),
        (
            button(json!({"action_id": ""})),
            "must be more than 0 characters [json-pointer:/blocks/0/elements/0/action_id]",
        ),
        (
            button(json!({"accessibility_label": "x".repeat(76)})),
            "must be less than 76 characters [json-pointer:/blocks/0/elements/0/accessibility_label]",
        ),
        (
            button(json!({"disabled": true})),
            "invalid additional property: disabled [json-pointer:/blocks/0/elements/0]",
        ),
        (
            button(confirm(text("plain_text", 101))),
            "must be less than 101 characters [json-pointer:/blocks/0/elements/0/confirm/title/text]",
        ),
        (
            button(confirm(text("mrkdwn", 1))),
            "failed to match all allowed schemas [json-pointer:/blocks/0/elements/0/confirm/title]",
        ),
        (
            button(json!({"confirm": {"title": text("plain_text", 1)}})),
            "missing required field: text [json-pointer:/blocks/0/elements/0/confirm]",
        ),
        (json!([{"type": "image", "alt_text": "x"}]), "missing required field: image_url [json-pointer:/blocks/0]"),
        (
            json!([{"type": "image", "image_url": "https://a.example"}]),
            "missing required field: alt_text [json-pointer:/blocks/0]",
        ),
        (
            json!([{"type": "image", "image_url": "a.png", "alt_text": "x"}]),
            "must be a valid url [json-pointer:/blocks/0/image_url]",
        ),
        (
            json!([{"type": "section", "text": text("mrkdwn", 1), "accessory": {"type": "static_select", "options": [option("a")], "initial_option": option("z")}}]),
            "must be one of the provided options [json-pointer:/blocks/0/accessory/initial_option]",
        ),
        (
            json!([{"type": "section", "text": text("mrkdwn", 1), "accessory": {"type": "static_select", "options": [option("a")], "initial_option": {"text": text("plain_text", 1), "value": "a"}}}]),
            "must be one of the provided options [json-pointer:/blocks/0/accessory/initial_option]",
        ),
        (
            json!([{"type": "section", "text": text("mrkdwn", 1), "accessory": {"type": "static_select"}}]),
            "missing required field: options [json-pointer:/blocks/0/accessory]",
        ),
        (
            json!([{"type": "section", "text": text("mrkdwn", 1), "accessory": {"type": "static_select", "options": vec![option("a"); 101]}}]),
            "no more than 100 items allowed [json-pointer:/blocks/0/accessory/options]",
        ),
        (
            json!([{"type": "section", "text": text("mrkdwn", 1), "accessory": {"type": "overflow", "options": vec![option("a"); 6]}}]),
            "no more than 5 items allowed [json-pointer:/blocks/0/accessory/options]",
        ),
        (input(json!({"type": "button"})), "unsupported type: button [json-pointer:/blocks/0/element/type]"),
        (
            input(json!({"type": "plain_text_input", "min_length": 9, "max_length": 3})),
            "min_length must not exceed max_length [json-pointer:/blocks/0/element/min_length]",
        ),
        (
            input(json!({"type": "plain_text_input", "max_length": 3_001})),
            "must be less than 3000 [json-pointer:/blocks/0/element/max_length]",
        ),
        (
            input(json!({"type": "datepicker", "initial_date": "28.2.2026"})),
            "input must be a valid: date [json-pointer:/blocks/0/element/initial_date]",
        ),
        (
            input(json!({"type": "datepicker", "initial_date": "2026-02-30"})),
            "input must be a valid: date [json-pointer:/blocks/0/element/initial_date]",
        ),
        (
            input(json!({"type": "timepicker", "initial_time": "24:00"})),
            "must be a time of the form HH:mm [json-pointer:/blocks/0/element/initial_time]",
        ),
        (
            json!([{"type": "file", "external_id": "x", "source": "remote"}]),
            "no remote file has this id [json-pointer:/blocks/0/external_id]",
        ),
        (
            json!([{"type": "rich_text", "elements": [{"type": "text", "text": "x"}]}]),
            "unsupported type: text [json-pointer:/blocks/0/elements/0/type]",
        ),
        (json!([{"type": "rich_text"}]), "missing required field: elements [json-pointer:/blocks/0]"),
        (
            json!([{"type": "divider", "block_id": "x"}, {"type": "divider", "block_id": "x"}]),
            "`block_id` \"x\" already exists [json-pointer:/blocks/1/block_id]",
        ),
        (
            json!([{"type": "divider", "block_id": "x".repeat(256)}]),
            "must be less than 256 characters [json-pointer:/blocks/0/block_id]",
        ),
        (json!(vec![json!({"type": "divider"}); 51]), "no more than 50 items allowed [json-pointer:/blocks]"),
        (
            json!(vec![json!({"type": "markdown", "text": "x".repeat(7_000)}); 2]),
            "must be less than 12001 characters [json-pointer:/blocks]",
        ),
        (json!(vec![json!({"type": "table", "rows": [[{"type": "raw_text", "text": "x"}]]}); 2]), "two tables"),
        (json!([{"type": "table", "rows": []}]), "must provide at least 1 items [json-pointer:/blocks/0/rows]"),
        (
            json!([{"type": "video", "title": text("plain_text", 1), "alt_text": "x", "thumbnail_url": "https://a.example", "video_url": "http://a.example"}]),
            "must be an https url [json-pointer:/blocks/0/video_url]",
        ),
        (json!(vec![json!({"type": "section", "text": {"type": "mrkdwn", "text": "x".repeat(2_700)}}); 5]), "too long"),
    ] {
        let found = problems(&blocks);
        assert!(found.iter().any(|problem| problem == expected), "{blocks}\nexpected {expected}\nfound {found:?}");
    }
}

#[test]
fn blocks_of_2026_are_held_to_what_is_published_of_them() {
    let cell = |text: &str| json!({"type": "raw_text", "text": text});
    let rich = json!({"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": []}]});
    let number = json!({"type": "raw_number", "value": 1, "text": "1"});
    let data = |rows: Value| json!([{"type": "data_table", "caption": "c", "rows": rows}]);
    let chart = |chart: Value| json!([{"type": "data_visualization", "title": "t", "chart": chart}]);
    let pie =
        |segments: usize| chart(json!({"type": "pie", "segments": vec![json!({"label": "a", "value": 1}); segments]}));
    let bar = |label: &str| {
        chart(
            json!({"type": "bar", "series": [{"name": "s", "data": [{"label": label, "value": 1}]}], "axis_config": {"categories": ["a"]}}),
        )
    };
    let container =
        |child: Value| json!([{"type": "container", "title": text("plain_text", 1), "child_blocks": [child]}]);
    for (blocks, expected) in [
        (json!([{"type": "card", "title": text("mrkdwn", 150)}]), None),
        (
            json!([{"type": "card", "subtitle": text("mrkdwn", 1)}]),
            Some("missing required field: hero_image or title or actions or body [json-pointer:/blocks/0]"),
        ),
        (
            json!([{"type": "card", "title": text("mrkdwn", 151)}]),
            Some("must be less than 151 characters [json-pointer:/blocks/0/title/text]"),
        ),
        (
            json!([{"type": "carousel", "elements": []}]),
            Some("must provide at least 1 items [json-pointer:/blocks/0/elements]"),
        ),
        (container(json!({"type": "divider"})), None),
        (
            container(json!({"type": "container"})),
            Some("unsupported type: container [json-pointer:/blocks/0/child_blocks/0/type]"),
        ),
        (
            json!([{"type": "plan", "title": text("plain_text", 1)}]),
            Some("must provide a string [json-pointer:/blocks/0/title]"),
        ),
        (
            json!([{"type": "task_card", "task_id": "1", "title": "t", "status": "done"}]),
            Some("must be a valid enum value [json-pointer:/blocks/0/status]"),
        ),
        (data(json!([[cell("a")], [number]])), None),
        (data(json!([[cell("a")]])), Some("must provide at least 2 items [json-pointer:/blocks/0/rows]")),
        (
            data(json!([[rich], [cell("a")]])),
            Some("unsupported type: rich_text [json-pointer:/blocks/0/rows/0/0/type]"),
        ),
        (
            data(json!([[cell("a"), cell("b")], [cell("a")]])),
            Some("must provide at least 2 items [json-pointer:/blocks/0/rows/1]"),
        ),
        (
            data(json!([[cell("a")], [{"type": "raw_number", "text": "1"}]])),
            Some("missing required field: value [json-pointer:/blocks/0/rows/1/0]"),
        ),
        (pie(6), None),
        (pie(7), Some("no more than 6 items allowed [json-pointer:/blocks/0/chart/segments]")),
        (bar("a"), None),
        (bar("b"), Some("failed to match exactly one allowed schema [json-pointer:/blocks/0/chart/series/0]")),
        (json!(vec![pie(1)[0].clone(); 3]), Some("too many data_visualization blocks [json-pointer:/blocks]")),
        (
            json!([{"type": "actions", "elements": [{"type": "multi_users_select"}]}]),
            Some("unsupported element: multiselect [json-pointer:/blocks/0]"),
        ),
        (
            json!([{"type": "image", "slack_file": {"id": "x"}, "alt_text": "x"}]),
            Some("input must match regex pattern: ^[F][A-Z0-9]{8,}$ [json-pointer:/blocks/0/slack_file/id]"),
        ),
        (
            json!([{"type": "image", "slack_file": {"id": "F12345678"}, "alt_text": "x"}]),
            Some("invalid slack file [json-pointer:/blocks/0/slack_file]"),
        ),
        (
            json!([{"type": "context", "elements": [{"type": "image", "slack_file": {"url": "https://files.slack.com/x"}, "alt_text": "x"}]}]),
            Some("invalid slack file [json-pointer:/blocks/0/elements/0/slack_file]"),
        ),
        (
            section(json!({"type": "plain_text", "text": "x", "emoji": "yes"})),
            Some("must be a boolean [json-pointer:/blocks/0/text/emoji]"),
        ),
        (
            section(json!({"type": "html", "text": "x"})),
            Some("unsupported type: html [json-pointer:/blocks/0/text/type]"),
        ),
        (
            input(json!({"type": "number_input", "is_decimal_allowed": false, "min_value": "0.5"})),
            Some("must be a whole number [json-pointer:/blocks/0/element/min_value]"),
        ),
        (
            json!(vec![input(json!({"type": "plain_text_input", "focus_on_load": true}))[0].clone(); 2]),
            Some("only one element may have focus_on_load [json-pointer:/blocks]"),
        ),
    ] {
        let found = problems(&blocks);
        let fits = expected.map_or(found.is_empty(), |expected| found.iter().any(|problem| problem == expected));
        assert!(fits, "{blocks}\nexpected {expected:?}\nfound {found:?}");
    }
}

#[test]
fn two_actions_of_a_block_need_different_ids() {
    let one = json!({"type": "button", "action_id": "a", "text": {"type": "plain_text", "text": "b"}});
    let found = problems(&json!([{"type": "actions", "elements": [one.clone(), one.clone()]}]));
    assert_eq!(found, ["`action_id` \"a\" already exists [json-pointer:/blocks/0/elements/1/action_id]"]);
    let apart = json!([{"type": "actions", "elements": [one.clone()]}, {"type": "actions", "elements": [one]}]);
    assert_eq!(problems(&apart), Vec::<String>::new());
}

#[test]
fn stored_blocks_have_ids_and_defaults_and_their_actions_are_found() {
    let sent = button(json!({})).as_array().unwrap().clone();
    let stored = as_stored(sent, || "id".to_owned());
    assert_eq!(stored[0]["block_id"], "id");
    assert_eq!(stored[0]["elements"][0]["text"]["emoji"], true);
    assert_eq!(find_action(&stored, "a").map(|(block, _)| block), Some("id"));
    assert!(find_action(&stored, "z").is_none());
}
