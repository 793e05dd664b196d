//! What a person does with an element, and what all elements hold then (Slack docs: `block_actions` payload; changelog 2020-09, full
//! state on view submission and block actions).

use serde_json::{Map, Value, json};

use super::blocks;
use super::clock::ts;
use super::interaction::Press;
use super::socket::ClickError;

/// Elements that hold something: what a payload calls it, and the property from which it starts.
const HOLDERS: [(&str, &str, &str); 21] = [
    ("channels_select", "selected_channel", "initial_channel"),
    ("checkboxes", "selected_options", "initial_options"),
    ("conversations_select", "selected_conversation", "initial_conversation"),
    ("datepicker", "selected_date", "initial_date"),
    ("datetimepicker", "selected_date_time", "initial_date_time"),
    ("email_text_input", "value", "initial_value"),
    ("external_select", "selected_option", "initial_option"),
    ("file_input", "files", ""),
    ("multi_channels_select", "selected_channels", "initial_channels"),
    ("multi_conversations_select", "selected_conversations", "initial_conversations"),
    ("multi_external_select", "selected_options", "initial_options"),
    ("multi_static_select", "selected_options", "initial_options"),
    ("multi_users_select", "selected_users", "initial_users"),
    ("number_input", "value", "initial_value"),
    ("plain_text_input", "value", "initial_value"),
    ("radio_buttons", "selected_option", "initial_option"),
    ("rich_text_input", "rich_text_value", "initial_value"),
    ("static_select", "selected_option", "initial_option"),
    ("timepicker", "selected_time", "initial_time"),
    ("url_text_input", "value", "initial_value"),
    ("users_select", "selected_user", "initial_user"),
];

/// Where and when a person acts, for choices that nobody spelt out.
pub(super) struct Scene<'a> {
    pub(super) user: &'a str,
    pub(super) channel: &'a str,
    pub(super) now: u64,
}

/// The action of a payload, and its `state.values`, for what a person does with one of these blocks.
pub(super) fn act(blocks: &[Value], press: &Press, scene: &Scene<'_>) -> Result<(Value, Value), ClickError> {
    let Some((block_id, element)) = blocks::find_action(blocks, &press.action_id) else {
        return Err(ClickError::NoAction(blocks::action_ids(blocks)));
    };
    let chosen = chosen(block_id, element, press, scene);
    let mut values = values(blocks, &press.values);
    if held(element).is_some() {
        let mut value = chosen.clone();
        value.insert("type".to_owned(), json!(kind(element)));
        overlay(&mut values, block_id, &press.action_id, Value::Object(value));
    }
    let mut action = Map::new();
    for name in ["type", "action_id", "text", "value", "style", "url"] {
        if let Some(value) = element.get(name) {
            action.insert(name.to_owned(), value.clone());
        }
    }
    action.insert("block_id".to_owned(), json!(block_id));
    action.insert("action_ts".to_owned(), json!(ts(scene.now)));
    action.extend(chosen);
    Ok((Value::Object(action), Value::Object(values)))
}

/// What all elements that hold something hold at first, overlaid by what a person has filled in.
pub(super) fn values(blocks: &[Value], filled: &Map<String, Value>) -> Map<String, Value> {
    let mut values = Map::new();
    for block in blocks {
        let Some(block_id) = block.get("block_id").and_then(Value::as_str) else { continue };
        for element in blocks::elements(block).filter_map(Value::as_object) {
            let action_id = element.get("action_id").and_then(Value::as_str);
            let (Some(action_id), Some((name, initial))) = (action_id, held(element)) else { continue };
            overlay(&mut values, block_id, action_id, json!({"type": kind(element), name: initial}));
        }
    }
    for (block_id, actions) in filled {
        for (action_id, value) in actions.as_object().into_iter().flatten() {
            overlay(&mut values, block_id, action_id, value.clone());
        }
    }
    values
}

fn overlay(values: &mut Map<String, Value>, block_id: &str, action_id: &str, value: Value) {
    let actions = values.entry(block_id).or_insert_with(|| json!({}));
    if let Some(actions) = actions.as_object_mut() {
        actions.insert(action_id.to_owned(), value);
    }
}

fn kind(element: &Map<String, Value>) -> &str {
    element.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// What an element holds at first, and what a payload calls it. Buttons and overflow menus hold nothing.
fn held(element: &Map<String, Value>) -> Option<(&'static str, Value)> {
    let (_, name, initial) = HOLDERS.iter().find(|(known, ..)| *known == kind(element))?;
    let nothing = || if name.ends_with('s') { json!([]) } else { Value::Null };
    Some((name, element.get(*initial).cloned().unwrap_or_else(nothing)))
}

/// What the action says of the choice: as the press has it, else what the person has filled in there, else something sensible.
fn chosen(block_id: &str, element: &Map<String, Value>, press: &Press, scene: &Scene<'_>) -> Map<String, Value> {
    if !press.chosen.is_empty() {
        return press.chosen.clone();
    }
    let filled = press.values.get(block_id).and_then(|actions| actions.get(&press.action_id)?.as_object());
    let Some(filled) = filled else { return sensible(element, scene) };
    filled.iter().filter(|(name, _)| *name != "type").map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The first option, or what is set already, or what lies at hand: the person themself, where they are, the present.
fn sensible(element: &Map<String, Value>, scene: &Scene<'_>) -> Map<String, Value> {
    let option = first_option(element);
    let (name, initial) = match held(element) {
        Some(held) => held,
        None if option.is_some() => ("selected_option", Value::Null),
        None => return Map::new(),
    };
    let now = jiff::Timestamp::from_microsecond(i64::try_from(scene.now).unwrap_or_default()).unwrap_or_default();
    let at_hand = match name {
        "selected_channel" | "selected_conversation" => json!(scene.channel),
        "selected_channels" | "selected_conversations" => json!([scene.channel]),
        "selected_date" => json!(now.strftime("%Y-%m-%d").to_string()),
        "selected_date_time" => json!(now.as_second()),
        "selected_time" => json!(now.strftime("%H:%M").to_string()),
        "selected_user" => json!(scene.user),
        "selected_users" => json!([scene.user]),
        _ => initial.clone(),
    };
    let value = match (option, name) {
        (Some(option), "selected_options") => json!([option]),
        (Some(option), _) => option.clone(),
        (None, _) if initial.is_null() || initial == json!([]) => at_hand,
        (None, _) => initial,
    };
    Map::from_iter([(name.to_owned(), value)])
}

fn first_option(element: &Map<String, Value>) -> Option<&Value> {
    let grouped = || element.get("option_groups")?.get(0)?.get("options");
    element.get("options").or_else(grouped)?.get(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENE: Scene<'_> = Scene { user: "U1", channel: "C1", now: 1_767_323_040_000_000 };

    fn option(text: &str) -> Value {
        json!({"text": {"type": "plain_text", "text": text}, "value": text})
    }

    fn press(chosen: &Value, values: &Value) -> Press {
        let map = |value: &Value| value.as_object().cloned().unwrap_or_default();
        Press { action_id: "a".to_owned(), chosen: map(chosen), values: map(values) }
    }

    fn block(mut element: Value) -> Value {
        element["action_id"] = json!("a");
        json!({"type": "actions", "block_id": "b", "elements": [element]})
    }

    #[test]
    fn a_choice_that_nobody_spelt_out_has_the_shape_of_the_element() {
        let (a, b) = (option("a"), option("b"));
        for (element, name, value) in [
            (json!({"type": "static_select", "options": [a, b]}), "selected_option", a.clone()),
            (json!({"type": "static_select", "option_groups": [{"options": [b]}]}), "selected_option", b.clone()),
            (json!({"type": "radio_buttons", "options": [a]}), "selected_option", a.clone()),
            (json!({"type": "overflow", "options": [a]}), "selected_option", a.clone()),
            (json!({"type": "external_select", "initial_option": b}), "selected_option", b),
            (json!({"type": "checkboxes", "options": [a]}), "selected_options", json!([a])),
            (json!({"type": "multi_static_select", "options": [a]}), "selected_options", json!([a])),
            (json!({"type": "datepicker", "initial_date": "2026-05-01"}), "selected_date", json!("2026-05-01")),
            (json!({"type": "datepicker"}), "selected_date", json!("2026-01-02")),
            (json!({"type": "timepicker"}), "selected_time", json!("03:04")),
            (json!({"type": "datetimepicker"}), "selected_date_time", json!(1_767_323_040)),
            (json!({"type": "users_select"}), "selected_user", json!("U1")),
            (json!({"type": "multi_users_select"}), "selected_users", json!(["U1"])),
            (json!({"type": "channels_select"}), "selected_channel", json!("C1")),
            (
                json!({"type": "conversations_select", "initial_conversation": "C2"}),
                "selected_conversation",
                json!("C2"),
            ),
            (json!({"type": "multi_conversations_select"}), "selected_conversations", json!(["C1"])),
            (json!({"type": "plain_text_input", "initial_value": "x"}), "value", json!("x")),
        ] {
            let (action, values) = act(&[block(element.clone())], &press(&json!({}), &json!({})), &SCENE).unwrap();
            assert_eq!(action[name], value, "{element}");
            let held = &values["b"]["a"];
            let stateful = element["type"] != "overflow";
            assert_eq!(*held, if stateful { json!({"type": element["type"], name: value}) } else { Value::Null });
        }
    }

    #[test]
    fn the_state_holds_all_elements_with_their_initial_values_under_what_was_filled_in() {
        let input = |element: Value| json!({"type": "input", "block_id": element["action_id"], "element": element});
        let section = |element: Value| json!({"type": "section", "block_id": "section", "accessory": element});
        let blocks = [
            input(json!({"type": "plain_text_input", "action_id": "why"})),
            input(json!({"type": "checkboxes", "action_id": "which", "options": [option("a")]})),
            section(json!({"type": "datepicker", "action_id": "when", "initial_date": "2026-05-01"})),
            json!({"type": "actions", "block_id": "b", "elements": [
                {"type": "button", "action_id": "a", "value": "go"},
                {"type": "timepicker", "action_id": "time", "initial_time": "10:00"},
            ]}),
        ];
        let filled = json!({"why": {"why": {"type": "plain_text_input", "value": "no"}}});
        let (action, values) = act(&blocks, &press(&json!({}), &filled), &SCENE).unwrap();
        assert_eq!(action["value"], "go");
        let expected = json!({
            "why": {"why": {"type": "plain_text_input", "value": "no"}},
            "which": {"which": {"type": "checkboxes", "selected_options": []}},
            "section": {"when": {"type": "datepicker", "selected_date": "2026-05-01"}},
            "b": {"time": {"type": "timepicker", "selected_time": "10:00"}},
        });
        assert_eq!(values, expected);
    }

    #[test]
    fn what_was_filled_in_is_the_choice_unless_the_press_says_another() {
        let blocks = [block(json!({"type": "datepicker", "initial_date": "2026-05-01"}))];
        let filled = json!({"b": {"a": {"type": "datepicker", "selected_date": "2026-06-01"}}});
        for (chosen, date) in [(json!({}), "2026-06-01"), (json!({"selected_date": "2026-07-01"}), "2026-07-01")] {
            let (action, values) = act(&blocks, &press(&chosen, &filled), &SCENE).unwrap();
            assert_eq!((&action["selected_date"], &values["b"]["a"]["selected_date"]), (&json!(date), &json!(date)));
        }
    }
}
