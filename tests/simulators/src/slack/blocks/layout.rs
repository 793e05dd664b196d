//! The blocks themselves (Slack docs: blocks).

use super::{
    composition::{SLACK_FILE, exactly_one},
    elements::{ACCESSORIES, ACTIONS, BUTTONS, CONTEXT_ACTIONS, IMAGE as IMAGE_ELEMENT, INPUTS},
    rich_text::{RAW_NUMBER, RAW_TEXT, RICH_TEXT},
    rule::{
        Field, Problem,
        Rule::{Anything, Bool, Enum, Int, List, Mrkdwn, Object, OneOf, Plain, Str, Text, Url},
        Shape, may, need,
    },
};

const BLOCK_ID: Field = may("block_id", Str(1, 255));

static SECTION: Shape = Shape::of(
    "section",
    &[
        BLOCK_ID,
        may("text", Text(3_000)),
        may("fields", List(1, 10, &Text(2_000))),
        may("accessory", OneOf(ACCESSORIES)),
        may("expand", Bool),
    ],
)
.also(|map, pointer, problems| {
    if !map.contains_key("text") && !map.contains_key("fields") {
        problems.push(Problem::new("missing required field: text", pointer));
    }
});
static DIVIDER: Shape = Shape::of("divider", &[BLOCK_ID]);
static HEADER: Shape = Shape::of("header", &[BLOCK_ID, need("text", Plain(150))]);
static CONTEXT: Shape = Shape::of("context", &[BLOCK_ID, need("elements", List(1, 10, &OneOf(CONTEXT_ELEMENTS)))]);
static PLAIN_ELEMENT: Shape = Shape::of("plain_text", &[need("text", Str(1, 3_000)), may("emoji", Bool)]);
static MRKDWN_ELEMENT: Shape = Shape::of("mrkdwn", &[need("text", Str(1, 3_000)), may("verbatim", Bool)]);
static CONTEXT_ELEMENTS: &[&Shape] = &[&IMAGE_ELEMENT, &PLAIN_ELEMENT, &MRKDWN_ELEMENT];
static ACTIONS_BLOCK: Shape = Shape::of("actions", &[BLOCK_ID, need("elements", List(1, 25, &OneOf(ACTIONS)))]);
static CONTEXT_ACTIONS_BLOCK: Shape =
    Shape::of("context_actions", &[BLOCK_ID, need("elements", List(1, 5, &OneOf(CONTEXT_ACTIONS)))]);
static IMAGE: Shape = Shape::of(
    "image",
    &[
        BLOCK_ID,
        need("alt_text", Str(1, 2_000)),
        may("image_url", Url),
        may("slack_file", Object(&SLACK_FILE)),
        may("title", Plain(2_000)),
    ],
)
.also(|map, pointer, problems| exactly_one(map, "image_url", "slack_file", pointer, problems));
static INPUT: Shape = Shape::of(
    "input",
    &[
        BLOCK_ID,
        need("label", Plain(2_000)),
        need("element", OneOf(INPUTS)),
        may("hint", Plain(2_000)),
        may("optional", Bool),
        may("dispatch_action", Bool),
    ],
);
/// Remote files only, and none is known here.
static FILE: Shape =
    Shape::of("file", &[BLOCK_ID, need("external_id", Str(1, 255)), need("source", Enum(&["remote"]))]).also(
        |map, pointer, problems| {
            if map.contains_key("external_id") {
                problems.push(Problem::new("no remote file has this id", format!("{pointer}/external_id")));
            }
        },
    );
static VIDEO: Shape = Shape::of(
    "video",
    &[
        BLOCK_ID,
        need("alt_text", Str(1, 2_000)),
        need("title", Plain(199)),
        need("thumbnail_url", Url),
        need("video_url", Url),
        may("title_url", Url),
        may("author_name", Str(1, 49)),
        may("provider_name", Str(1, 255)),
        may("provider_icon_url", Url),
        may("description", Plain(199)),
    ],
)
.also(|map, pointer, problems| {
    let https =
        |name: &str| map.get(name).and_then(serde_json::Value::as_str).is_none_or(|u| u.starts_with("https://"));
    for name in ["video_url", "title_url"].into_iter().filter(|name| !https(name)) {
        problems.push(Problem::new("must be an https url", format!("{pointer}/{name}")));
    }
});
static MARKDOWN: Shape = Shape::of("markdown", &[BLOCK_ID, need("text", Str(1, 12_000))]);
static COLUMN: Shape = Shape::of("", &[may("align", Enum(&["left", "center", "right"])), may("is_wrapped", Bool)]);
static CELLS: &[&Shape] = &[&RAW_TEXT, &RAW_NUMBER, &RICH_TEXT];
static TABLE: Shape = Shape::of(
    "table",
    &[
        BLOCK_ID,
        need("rows", List(1, 100, &List(1, 20, &OneOf(CELLS)))),
        may("column_settings", List(0, 20, &Object(&COLUMN))),
    ],
);

// The newer blocks are checked for what is published of them and open for the rest.
static ALERT: Shape = Shape::of(
    "alert",
    &[BLOCK_ID, need("text", Text(3_000)), may("level", Enum(&["default", "info", "warning", "error", "success"]))],
);
static CARD: Shape = Shape::of(
    "card",
    &[
        BLOCK_ID,
        may("hero_image", OneOf(&[&IMAGE_ELEMENT])),
        may("icon", OneOf(&[&IMAGE_ELEMENT])),
        may("title", Mrkdwn(150)),
        may("subtitle", Mrkdwn(150)),
        may("body", Mrkdwn(200)),
        may("actions", List(1, 5, &OneOf(BUTTONS))),
    ],
)
.open();
static CAROUSEL: Shape = Shape::of("carousel", &[BLOCK_ID, need("elements", List(1, 10, &OneOf(&[&CARD])))]);
static TASK_CARD: Shape = Shape::of(
    "task_card",
    &[
        BLOCK_ID,
        need("task_id", Str(1, 255)),
        need("title", Str(1, 3_000)),
        need("status", Enum(&["pending", "in_progress", "complete", "error"])),
        may("details", OneOf(&[&RICH_TEXT])),
        may("output", OneOf(&[&RICH_TEXT])),
    ],
)
.open();
static PLAN: Shape =
    Shape::of("plan", &[BLOCK_ID, need("title", Str(1, 3_000)), may("tasks", List(0, 50, &OneOf(&[&TASK_CARD])))])
        .open();
static DATA_TABLE: Shape = Shape::of(
    "data_table",
    &[
        BLOCK_ID,
        need("caption", Str(1, 3_000)),
        need("rows", List(2, 201, &List(1, 20, &Anything))),
        may("page_size", Int(1, 100)),
    ],
)
.open();
static CONTAINER: Shape = Shape::of("container", &[BLOCK_ID]).open();
static DATA_VISUALIZATION: Shape = Shape::of("data_visualization", &[BLOCK_ID]).open();

/// What a message may hold.
pub(super) static IN_MESSAGES: &[&Shape] = &[
    &ACTIONS_BLOCK,
    &CARD,
    &CAROUSEL,
    &CONTAINER,
    &CONTEXT,
    &CONTEXT_ACTIONS_BLOCK,
    &DATA_TABLE,
    &DATA_VISUALIZATION,
    &DIVIDER,
    &FILE,
    &HEADER,
    &IMAGE,
    &INPUT,
    &MARKDOWN,
    &PLAN,
    &RICH_TEXT,
    &SECTION,
    &TABLE,
    &TASK_CARD,
    &VIDEO,
];

/// What a modal may hold.
pub(super) static IN_MODALS: &[&Shape] =
    &[&ACTIONS_BLOCK, &ALERT, &CONTEXT, &DIVIDER, &HEADER, &IMAGE, &INPUT, &RICH_TEXT, &SECTION, &VIDEO];
