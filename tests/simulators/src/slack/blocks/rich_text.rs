//! The `rich_text` block (Slack docs: rich text block).

use super::rule::Rule::{Bool, Enum, Int, List, Number, Object, OneOf, Str, Url};
use super::rule::{Shape, may, need};

static STYLE: Shape = Shape::of(
    "",
    &[
        may("bold", Bool),
        may("italic", Bool),
        may("strike", Bool),
        may("code", Bool),
        may("underline", Bool),
        may("highlight", Bool),
        may("client_highlight", Bool),
        may("unlink", Bool),
    ],
);

static TEXT: Shape = Shape::of("text", &[need("text", Str(0, usize::MAX)), may("style", Object(&STYLE))]);
static LINK: Shape = Shape::of(
    "link",
    &[need("url", Url), may("text", Str(0, usize::MAX)), may("unsafe", Bool), may("style", Object(&STYLE))],
);
static EMOJI: Shape = Shape::of(
    "emoji",
    &[
        need("name", Str(1, 100)),
        may("unicode", Str(1, 100)),
        may("url", Url),
        may("skin_tone", Int(2, 6)),
        may("style", Object(&STYLE)),
    ],
);
static USER: Shape = Shape::of("user", &[need("user_id", Str(1, 255)), may("style", Object(&STYLE))]);
static GROUP: Shape = Shape::of("usergroup", &[need("usergroup_id", Str(1, 255)), may("style", Object(&STYLE))]);
static CHANNEL: Shape = Shape::of("channel", &[need("channel_id", Str(1, 255)), may("style", Object(&STYLE))]);
static TEAM: Shape = Shape::of("team", &[need("team_id", Str(1, 255)), may("style", Object(&STYLE))]);
static COLOR: Shape = Shape::of("color", &[need("value", Str(1, 20)), may("style", Object(&STYLE))]);
static BROADCAST: Shape =
    Shape::of("broadcast", &[need("range", Enum(&["here", "channel", "everyone"])), may("style", Object(&STYLE))]);
static DATE: Shape = Shape::of(
    "date",
    &[
        need("timestamp", Int(0, i64::MAX)),
        need("format", Str(1, 1_000)),
        may("url", Url),
        may("fallback", Str(0, 1_000)),
        may("style", Object(&STYLE)),
    ],
);

static INLINE: &[&Shape] = &[&TEXT, &LINK, &EMOJI, &USER, &GROUP, &CHANNEL, &TEAM, &COLOR, &BROADCAST, &DATE];

static SECTION: Shape = Shape::of("rich_text_section", &[need("elements", List(0, 3_000, &OneOf(INLINE)))]);
static PREFORMATTED: Shape = Shape::of(
    "rich_text_preformatted",
    &[
        need("elements", List(0, 3_000, &OneOf(&[&TEXT, &LINK]))),
        may("border", Int(0, 1)),
        may("language", Str(1, 100)),
    ],
);
static QUOTE: Shape =
    Shape::of("rich_text_quote", &[need("elements", List(0, 3_000, &OneOf(INLINE))), may("border", Int(0, 1))]);
static LIST: Shape = Shape::of(
    "rich_text_list",
    &[
        need("style", Enum(&["bullet", "ordered"])),
        need("elements", List(0, 3_000, &OneOf(&[&SECTION]))),
        may("indent", Int(0, 8)),
        may("offset", Int(0, i64::MAX)),
        may("border", Int(0, 1)),
    ],
);

/// Formatted text as Slack's own clients send it.
pub(super) static RICH_TEXT: Shape = Shape::of(
    "rich_text",
    &[
        may("block_id", Str(1, 255)),
        need("elements", List(1, 3_000, &OneOf(&[&SECTION, &LIST, &PREFORMATTED, &QUOTE]))),
    ],
);

static RAW_TEXT: Shape = Shape::of("raw_text", &[need("text", Str(1, 10_000))]);
static RAW_NUMBER: Shape = Shape::of("raw_number", &[need("value", Number), need("text", Str(1, 10_000))]);

/// What stands in the cells of a table.
pub(super) static CELLS: &[&Shape] = &[&RAW_TEXT, &RAW_NUMBER, &RICH_TEXT];
