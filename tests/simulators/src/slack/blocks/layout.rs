//! The blocks themselves (Slack docs: blocks).

use super::composition::{SLACK_FILE, exactly_one};
use super::elements::{ACCESSORIES, ACTIONS, CONTEXT_ACTIONS, IMAGE as IMAGE_ELEMENT, INPUTS, is_multi_select};
use super::newer::{ALERT, CARD, CAROUSEL, CONTAINER, DATA_TABLE, DATA_VISUALIZATION, PLAN, TASK_CARD};
use super::rich_text::{CELLS, RICH_TEXT};
use super::rule::Rule::{Bool, Enum, List, Object, OneOf, Plain, Str, Text, Url};
use super::rule::{Field, Problem, Shape, may, need};

pub(super) const BLOCK_ID: Field = may("block_id", Str(1, 255));

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
static ACTIONS_BLOCK: Shape =
    Shape::of("actions", &[BLOCK_ID, need("elements", List(1, 25, &OneOf(ACTIONS)))]).also(|map, pointer, problems| {
        // Known to the schema, and refused all the same, unlike beside the text of a section.
        let elements = map.get("elements").and_then(serde_json::Value::as_array).into_iter().flatten();
        if elements.into_iter().any(is_multi_select) {
            problems.push(Problem::new("unsupported element: multiselect", pointer));
        }
    });
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
static TABLE: Shape = Shape::of(
    "table",
    &[
        BLOCK_ID,
        need("rows", List(1, 100, &List(1, 20, &OneOf(CELLS)))),
        may("column_settings", List(0, 20, &Object(&COLUMN))),
    ],
);

/// What a container may hold.
pub(super) static CHILDREN: &[&Shape] =
    &[&ACTIONS_BLOCK, &CONTEXT, &DIVIDER, &FILE, &HEADER, &IMAGE, &INPUT, &RICH_TEXT, &SECTION, &TABLE, &VIDEO];

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

/// What a Home tab may hold.
pub(super) static IN_HOMES: &[&Shape] =
    &[&ACTIONS_BLOCK, &CONTEXT, &DIVIDER, &HEADER, &IMAGE, &INPUT, &RICH_TEXT, &SECTION, &VIDEO];
