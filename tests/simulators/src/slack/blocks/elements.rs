//! Interactive elements (Slack docs: block elements).

use serde_json::{Map, Value};

use super::composition::{
    CONFIRM, DISPATCH, FILTER, FORMATTED_OPTION, OPTION, OPTION_GROUP, OVERFLOW_OPTION, SLACK_FILE, STYLES,
    exactly_one, initial_is_offered,
};
use super::rich_text::RICH_TEXT;
use super::rule::Rule::{Bool, Enum, Form, Int, List, Object, OneOf, Plain, Str, Url};
use super::rule::{Field, Problem, Rule, Shape, may, need};

const ACTION_ID: Field = may("action_id", Str(1, 255));
const CONFIRM_FIELD: Field = may("confirm", Object(&CONFIRM));
const FOCUS: Field = may("focus_on_load", Bool);
const PLACEHOLDER: Field = may("placeholder", Plain(150));
const DISPATCH_FIELD: Field = may("dispatch_action_config", Object(&DISPATCH));
const MOST: Field = may("max_selected_items", Int(1, i64::MAX));
const LABEL: Field = may("accessibility_label", Str(1, 75));
static OPTION_RULE: Rule = Object(&OPTION);
static GROUP_RULE: Rule = Object(&OPTION_GROUP);
const OPTIONS: Field = may("options", List(1, 100, &OPTION_RULE));
const GROUPS: Field = may("option_groups", List(1, 100, &GROUP_RULE));
const ID: Rule = Form(is_id, "must be a valid id");

static BUTTON: Shape = Shape::of(
    "button",
    &[
        need("text", Plain(75)),
        ACTION_ID,
        may("value", Str(0, 2_000)),
        may("url", Url),
        may("style", Enum(STYLES)),
        CONFIRM_FIELD,
        LABEL,
    ],
);

static TRIGGER_PARAMETER: Shape = Shape::of("", &[need("name", Str(1, 255)), need("value", Str(0, 3_000))]);
static TRIGGER: Shape =
    Shape::of("", &[need("url", Url), may("customizable_input_parameters", List(0, 100, &Object(&TRIGGER_PARAMETER)))]);
static WORKFLOW: Shape = Shape::of("", &[need("trigger", Object(&TRIGGER))]);
static WORKFLOW_BUTTON: Shape = Shape::of(
    "workflow_button",
    &[need("text", Plain(75)), need("workflow", Object(&WORKFLOW)), ACTION_ID, may("style", Enum(STYLES)), LABEL],
);

static FEEDBACK: Shape = Shape::of("", &[need("text", Plain(75)), need("value", Str(1, 2_000)), LABEL]);
static FEEDBACK_BUTTONS: Shape = Shape::of(
    "feedback_buttons",
    &[ACTION_ID, need("positive_button", Object(&FEEDBACK)), need("negative_button", Object(&FEEDBACK))],
);
static ICON_BUTTON: Shape = Shape::of(
    "icon_button",
    &[
        need("icon", Enum(&["trash"])),
        need("text", Plain(75)),
        ACTION_ID,
        may("value", Str(0, 2_000)),
        CONFIRM_FIELD,
        LABEL,
        may("visible_to_user_ids", List(0, 100, &ID)),
    ],
);

static CHECKBOXES: Shape = Shape::of(
    "checkboxes",
    &[
        ACTION_ID,
        need("options", List(1, 10, &Object(&FORMATTED_OPTION))),
        may("initial_options", List(1, 10, &Object(&FORMATTED_OPTION))),
        CONFIRM_FIELD,
        FOCUS,
    ],
)
.also(initial_is_offered);

static RADIO_BUTTONS: Shape = Shape::of(
    "radio_buttons",
    &[
        ACTION_ID,
        need("options", List(1, 10, &Object(&FORMATTED_OPTION))),
        may("initial_option", Object(&FORMATTED_OPTION)),
        CONFIRM_FIELD,
        FOCUS,
    ],
)
.also(initial_is_offered);

static OVERFLOW: Shape =
    Shape::of("overflow", &[ACTION_ID, need("options", List(1, 5, &Object(&OVERFLOW_OPTION))), CONFIRM_FIELD]);

static DATEPICKER: Shape = Shape::of(
    "datepicker",
    &[ACTION_ID, may("initial_date", Form(is_date, "input must be a valid: date")), CONFIRM_FIELD, FOCUS, PLACEHOLDER],
);
static TIMEPICKER: Shape = Shape::of(
    "timepicker",
    &[
        ACTION_ID,
        may("initial_time", Form(is_time, "must be a time of the form HH:mm")),
        may("timezone", Str(1, 100)),
        CONFIRM_FIELD,
        FOCUS,
        PLACEHOLDER,
    ],
);
static DATETIMEPICKER: Shape = Shape::of(
    "datetimepicker",
    &[
        ACTION_ID,
        // Ten digits.
        may("initial_date_time", Int(1_000_000_000, 9_999_999_999)),
        CONFIRM_FIELD,
        FOCUS,
    ],
);

static STATIC_SELECT: Shape = Shape::of(
    "static_select",
    &[ACTION_ID, PLACEHOLDER, OPTIONS, GROUPS, may("initial_option", Object(&OPTION)), CONFIRM_FIELD, FOCUS],
)
.also(static_menu);
static MULTI_STATIC_SELECT: Shape = Shape::of(
    "multi_static_select",
    &[
        ACTION_ID,
        PLACEHOLDER,
        OPTIONS,
        GROUPS,
        may("initial_options", List(1, 100, &Object(&OPTION))),
        CONFIRM_FIELD,
        FOCUS,
        MOST,
    ],
)
.also(static_menu);
static EXTERNAL_SELECT: Shape = Shape::of(
    "external_select",
    &[
        ACTION_ID,
        PLACEHOLDER,
        may("initial_option", Object(&OPTION)),
        may("min_query_length", Int(0, i64::MAX)),
        CONFIRM_FIELD,
        FOCUS,
    ],
);
static MULTI_EXTERNAL_SELECT: Shape = Shape::of(
    "multi_external_select",
    &[
        ACTION_ID,
        PLACEHOLDER,
        may("initial_options", List(1, 100, &Object(&OPTION))),
        may("min_query_length", Int(0, i64::MAX)),
        CONFIRM_FIELD,
        FOCUS,
        MOST,
    ],
);
static USERS_SELECT: Shape =
    Shape::of("users_select", &[ACTION_ID, PLACEHOLDER, may("initial_user", ID), CONFIRM_FIELD, FOCUS]);
static MULTI_USERS_SELECT: Shape = Shape::of(
    "multi_users_select",
    &[ACTION_ID, PLACEHOLDER, may("initial_users", List(1, 100, &ID)), CONFIRM_FIELD, FOCUS, MOST],
);
static CONVERSATIONS_SELECT: Shape = Shape::of(
    "conversations_select",
    &[
        ACTION_ID,
        PLACEHOLDER,
        may("initial_conversation", ID),
        may("default_to_current_conversation", Bool),
        may("response_url_enabled", Bool),
        may("filter", Object(&FILTER)),
        CONFIRM_FIELD,
        FOCUS,
    ],
);
static MULTI_CONVERSATIONS_SELECT: Shape = Shape::of(
    "multi_conversations_select",
    &[
        ACTION_ID,
        PLACEHOLDER,
        may("initial_conversations", List(1, 100, &ID)),
        may("default_to_current_conversation", Bool),
        may("filter", Object(&FILTER)),
        CONFIRM_FIELD,
        FOCUS,
        MOST,
    ],
);
static CHANNELS_SELECT: Shape = Shape::of(
    "channels_select",
    &[ACTION_ID, PLACEHOLDER, may("initial_channel", ID), may("response_url_enabled", Bool), CONFIRM_FIELD, FOCUS],
);
static MULTI_CHANNELS_SELECT: Shape = Shape::of(
    "multi_channels_select",
    &[ACTION_ID, PLACEHOLDER, may("initial_channels", List(1, 100, &ID)), CONFIRM_FIELD, FOCUS, MOST],
);

static PLAIN_TEXT_INPUT: Shape = Shape::of(
    "plain_text_input",
    &[
        ACTION_ID,
        may("initial_value", Str(0, 3_000)),
        may("multiline", Bool),
        may("min_length", Int(0, 3_000)),
        may("max_length", Int(1, 3_000)),
        DISPATCH_FIELD,
        FOCUS,
        PLACEHOLDER,
    ],
)
.also(|map, pointer, problems| {
    let number = |name: &str| map.get(name).and_then(Value::as_i64);
    if let (Some(min), Some(max)) = (number("min_length"), number("max_length"))
        && min > max
    {
        problems.push(Problem::new("min_length must not exceed max_length", format!("{pointer}/min_length")));
    }
});
static NUMBER_INPUT: Shape = Shape::of(
    "number_input",
    &[
        need("is_decimal_allowed", Bool),
        ACTION_ID,
        may("initial_value", Form(is_number, "must be a number")),
        may("min_value", Form(is_number, "must be a number")),
        may("max_value", Form(is_number, "must be a number")),
        DISPATCH_FIELD,
        FOCUS,
        PLACEHOLDER,
    ],
)
.also(|map, pointer, problems| {
    let number = |name: &str| map.get(name)?.as_str()?.parse::<f64>().ok();
    let whole = map.get("is_decimal_allowed") == Some(&Value::Bool(false));
    for name in ["initial_value", "min_value", "max_value"] {
        if whole && number(name).is_some_and(|number| number.fract() != 0.0) {
            problems.push(Problem::new("must be a whole number", format!("{pointer}/{name}")));
        }
    }
    if let (Some(min), Some(max)) = (number("min_value"), number("max_value"))
        && min > max
    {
        problems.push(Problem::new("min_value must not exceed max_value", format!("{pointer}/min_value")));
    }
});
static EMAIL_INPUT: Shape = Shape::of(
    "email_text_input",
    &[ACTION_ID, may("initial_value", Str(1, 3_000)), DISPATCH_FIELD, FOCUS, PLACEHOLDER],
);
static URL_INPUT: Shape =
    Shape::of("url_text_input", &[ACTION_ID, may("initial_value", Url), DISPATCH_FIELD, FOCUS, PLACEHOLDER]);
static FILE_INPUT: Shape =
    Shape::of("file_input", &[ACTION_ID, may("filetypes", List(1, 100, &Str(1, 20))), may("max_files", Int(1, 10))]);
static RICH_TEXT_INPUT: Shape = Shape::of(
    "rich_text_input",
    &[
        ACTION_ID,
        may("initial_value", OneOf(&[&RICH_TEXT])),
        may("min_lines", Int(1, 100)),
        may("max_lines", Int(1, 100)),
        DISPATCH_FIELD,
        FOCUS,
        PLACEHOLDER,
    ],
);

/// An image beside text; it has no `title`.
pub(super) static IMAGE: Shape = Shape::of(
    "image",
    &[need("alt_text", Str(1, 2_000)), may("image_url", Url), may("slack_file", Object(&SLACK_FILE))],
)
.also(|map, pointer, problems| exactly_one(map, "image_url", "slack_file", pointer, problems));

/// Beside the text of a section.
pub(super) static ACCESSORIES: &[&Shape] = &[
    &BUTTON,
    &CHANNELS_SELECT,
    &CHECKBOXES,
    &CONVERSATIONS_SELECT,
    &DATEPICKER,
    &EXTERNAL_SELECT,
    &IMAGE,
    &MULTI_CHANNELS_SELECT,
    &MULTI_CONVERSATIONS_SELECT,
    &MULTI_EXTERNAL_SELECT,
    &MULTI_STATIC_SELECT,
    &MULTI_USERS_SELECT,
    &OVERFLOW,
    &RADIO_BUTTONS,
    &STATIC_SELECT,
    &TIMEPICKER,
    &USERS_SELECT,
    &WORKFLOW_BUTTON,
];

/// In an actions block.
pub(super) static ACTIONS: &[&Shape] = &[
    &BUTTON,
    &CHANNELS_SELECT,
    &CHECKBOXES,
    &CONVERSATIONS_SELECT,
    &DATEPICKER,
    &DATETIMEPICKER,
    &EXTERNAL_SELECT,
    &MULTI_CHANNELS_SELECT,
    &MULTI_CONVERSATIONS_SELECT,
    &MULTI_EXTERNAL_SELECT,
    &MULTI_STATIC_SELECT,
    &MULTI_USERS_SELECT,
    &OVERFLOW,
    &RADIO_BUTTONS,
    &RICH_TEXT_INPUT,
    &STATIC_SELECT,
    &TIMEPICKER,
    &USERS_SELECT,
    &WORKFLOW_BUTTON,
];

/// In a `context_actions` block.
pub(super) static CONTEXT_ACTIONS: &[&Shape] = &[&FEEDBACK_BUTTONS, &ICON_BUTTON];

/// Only buttons: cards.
pub(super) static BUTTONS: &[&Shape] = &[&BUTTON];

/// In an input block.
pub(super) static INPUTS: &[&Shape] = &[
    &CHANNELS_SELECT,
    &CHECKBOXES,
    &CONVERSATIONS_SELECT,
    &DATEPICKER,
    &DATETIMEPICKER,
    &EMAIL_INPUT,
    &EXTERNAL_SELECT,
    &FILE_INPUT,
    &MULTI_CHANNELS_SELECT,
    &MULTI_CONVERSATIONS_SELECT,
    &MULTI_EXTERNAL_SELECT,
    &MULTI_STATIC_SELECT,
    &MULTI_USERS_SELECT,
    &NUMBER_INPUT,
    &PLAIN_TEXT_INPUT,
    &RADIO_BUTTONS,
    &RICH_TEXT_INPUT,
    &STATIC_SELECT,
    &TIMEPICKER,
    &URL_INPUT,
    &USERS_SELECT,
];

/// A menu of which several options may be chosen.
pub(super) fn is_multi_select(element: &Value) -> bool {
    element.get("type").and_then(Value::as_str).is_some_and(|kind| kind.starts_with("multi_"))
}

fn static_menu(map: &Map<String, Value>, pointer: &str, problems: &mut Vec<Problem>) {
    exactly_one(map, "options", "option_groups", pointer, problems);
    initial_is_offered(map, pointer, problems);
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

fn is_time(text: &str) -> bool {
    let Some((hours, minutes)) = text.split_once(':') else { return false };
    let number = |part: &str, below: u8| part.len() == 2 && part.parse::<u8>().is_ok_and(|number| number < below);
    number(hours, 24) && number(minutes, 60)
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
}
