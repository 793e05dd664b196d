//! Blocks that joined Block Kit in 2025 and 2026 (Slack docs: blocks). They are checked for what is published of them.

use serde_json::{Map, Value};

use super::elements::{BUTTONS, IMAGE as IMAGE_ELEMENT};
use super::layout::{BLOCK_ID, CHILDREN};
use super::rich_text::{CELLS, RICH_TEXT};
use super::rule::Rule::{Bool, Enum, Int, List, Number, Object, OneOf, Plain, Str, Text, Url};
use super::rule::{Problem, Shape, may, need};

/// Modals only.
pub(super) static ALERT: Shape = Shape::of(
    "alert",
    &[BLOCK_ID, need("text", Text(200)), may("level", Enum(&["default", "info", "warning", "error", "success"]))],
);

static SLACK_ICON: Shape = Shape::of("icon", &[need("name", Str(1, 255))]).open();
pub(super) static CARD: Shape = Shape::of(
    "card",
    &[
        BLOCK_ID,
        may("hero_image", OneOf(&[&IMAGE_ELEMENT])),
        may("icon", OneOf(&[&IMAGE_ELEMENT])),
        may("slack_icon", OneOf(&[&SLACK_ICON])),
        may("title", Text(150)),
        may("subtitle", Text(150)),
        may("body", Text(200)),
        may("subtext", Text(200)),
        may("actions", List(1, 5, &OneOf(BUTTONS))),
    ],
)
.also(|map, pointer, problems| {
    one_of_these(map, &["hero_image", "title", "actions", "body"], pointer, problems);
});
pub(super) static CAROUSEL: Shape = Shape::of("carousel", &[BLOCK_ID, need("elements", List(1, 10, &OneOf(&[&CARD])))]);

pub(super) static CONTAINER: Shape = Shape::of(
    "container",
    &[
        BLOCK_ID,
        may("title", Plain(150)),
        may("rich_text_title", OneOf(&[&RICH_TEXT])),
        may("subtitle", Text(150)),
        need("child_blocks", List(1, 10, &OneOf(CHILDREN))),
        may("width", Enum(&["narrow", "standard", "wide", "full"])),
        may("icon", OneOf(&[&IMAGE_ELEMENT])),
        may("is_collapsible", Bool),
        may("default_collapsed", Bool),
        may("has_header_divider", Bool),
    ],
)
.also(|map, pointer, problems| one_of_these(map, &["title", "rich_text_title"], pointer, problems));

static SOURCE: Shape = Shape::of("url", &[need("url", Url), need("text", Str(1, 3_000))]).open();
pub(super) static TASK_CARD: Shape = Shape::of(
    "task_card",
    &[
        BLOCK_ID,
        need("task_id", Str(1, 255)),
        need("title", Str(1, 3_000)),
        need("status", Enum(&["pending", "in_progress", "complete", "error"])),
        may("details", OneOf(&[&RICH_TEXT])),
        may("output", OneOf(&[&RICH_TEXT])),
        may("sources", List(0, 100, &OneOf(&[&SOURCE]))),
    ],
)
.open();
pub(super) static PLAN: Shape =
    Shape::of("plan", &[BLOCK_ID, need("title", Str(1, 3_000)), may("tasks", List(0, 50, &OneOf(&[&TASK_CARD])))]);

pub(super) static DATA_TABLE: Shape = Shape::of(
    "data_table",
    &[
        BLOCK_ID,
        need("caption", Str(1, 3_000)),
        // The first row is the header.
        need("rows", List(2, 201, &List(1, 20, &OneOf(CELLS)))),
        may("page_size", Int(1, 100)),
        may("row_header_column_index", Int(0, 19)),
    ],
)
.also(|map, pointer, problems| {
    let rows: Vec<&Vec<Value>> = rows(map).collect();
    let Some(header) = rows.first() else { return };
    for (index, _) in header.iter().enumerate().filter(|(_, cell)| cell["type"] == "rich_text") {
        let place = format!("{pointer}/rows/0/{index}/type");
        problems.push(Problem::new("unsupported type: rich_text", place));
    }
    for (index, _) in rows.iter().enumerate().filter(|(_, row)| row.len() != header.len()) {
        let what = format!("must provide at least {} items", header.len());
        problems.push(Problem::new(what, format!("{pointer}/rows/{index}")));
    }
});

static SEGMENT: Shape = Shape::of("", &[need("label", Str(1, 20)), need("value", Number)]);
static PIE: Shape = Shape::of("pie", &[need("segments", List(1, 6, &Object(&SEGMENT)))]);
static POINT: Shape = Shape::of("", &[need("label", Str(1, 20)), need("value", Number)]);
static SERIES: Shape = Shape::of("", &[need("name", Str(1, 20)), need("data", List(1, 20, &Object(&POINT)))]);
static AXES: Shape = Shape::of(
    "",
    &[need("categories", List(1, 20, &Str(1, 20))), may("x_label", Str(1, 50)), may("y_label", Str(1, 50))],
);
macro_rules! over_axes {
    ($name:literal) => {
        Shape::of($name, &[need("series", List(1, 6, &Object(&SERIES))), need("axis_config", Object(&AXES))])
            .also(series_fit_the_axes)
    };
}
static BAR: Shape = over_axes!("bar");
static AREA: Shape = over_axes!("area");
static LINE: Shape = over_axes!("line");
pub(super) static DATA_VISUALIZATION: Shape = Shape::of(
    "data_visualization",
    &[BLOCK_ID, need("title", Str(1, 50)), need("chart", OneOf(&[&PIE, &BAR, &AREA, &LINE]))],
);

/// One property of several has to be there.
fn one_of_these(map: &Map<String, Value>, names: &[&str], pointer: &str, problems: &mut Vec<Problem>) {
    if !names.iter().any(|name| map.contains_key(*name)) {
        problems.push(Problem::new(format!("missing required field: {}", names.join(" or ")), pointer));
    }
}

fn rows(map: &Map<String, Value>) -> impl Iterator<Item = &Vec<Value>> {
    map.get("rows").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_array)
}

/// Each series has a name of its own and a value for each category.
fn series_fit_the_axes(map: &Map<String, Value>, pointer: &str, problems: &mut Vec<Problem>) {
    let categories = map.get("axis_config").and_then(|axes| axes.get("categories")).and_then(Value::as_array);
    let (Some(categories), Some(series)) = (categories, map.get("series").and_then(Value::as_array)) else { return };
    let mut names = Vec::new();
    for (index, one) in series.iter().enumerate() {
        let labels: Vec<_> = one["data"].as_array().into_iter().flatten().map(|point| &point["label"]).collect();
        let name = &one["name"];
        if names.contains(&name) || labels != categories.iter().collect::<Vec<_>>() {
            let what = "failed to match exactly one allowed schema";
            problems.push(Problem::new(what, format!("{pointer}/series/{index}")));
        }
        names.push(name);
    }
}
