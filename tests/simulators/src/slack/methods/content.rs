//! What a message may consist of, common to posts, updates and ephemeral messages (Slack docs: chat.postMessage, truncating content, message metadata).

use serde_json::{Value, json};

use crate::slack::{
    blocks::{self, Surface},
    call::Call,
    emoji,
    model::Message,
    refusal::Refusal,
    text,
};

/// Longest text that is kept at all.
const TEXT_HARD_LIMIT: usize = 40_000;
/// Longest text of updates and ephemeral messages in bytes, and what is advised for posts.
const TEXT_LIMIT: usize = 4_000;
const MARKDOWN_LIMIT: usize = 12_000;
const ATTACHMENTS: usize = 100;

/// Parsed content; `None` means that the argument was absent, an empty list that it was given as empty.
pub(in crate::slack) struct Content {
    pub(super) text: Option<String>,
    pub(super) blocks: Option<Vec<Value>>,
    pub(super) attachments: Option<Vec<Value>>,
    /// An empty object removes.
    pub(super) metadata: Option<Value>,
    pub(super) truncated: bool,
}

/// Where the content goes, which decides the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Post,
    Update,
    Ephemeral,
}

impl Content {
    pub(super) fn read(call: &mut Call<'_>, route: Route) -> Result<Self, Refusal> {
        let mut text = call.args.text("text")?.map(std::borrow::Cow::into_owned);
        let markdown =
            call.args.text("markdown_text")?.map(std::borrow::Cow::into_owned).filter(|text| !text.is_empty());
        let mut blocks = list(call, "blocks").map_err(|()| Refusal::new("invalid_blocks_format"))?;
        let attachments = list(call, "attachments").map_err(|()| Refusal::new("invalid_attachments"))?;
        let from_markdown = markdown.is_some();
        let has_text = text.as_ref().is_some_and(|text| !text.trim().is_empty());
        if let Some(markdown) = markdown {
            if has_text || blocks.as_ref().is_some_and(|blocks| !blocks.is_empty()) {
                return Err(Refusal::new("markdown_text_conflict"));
            }
            if markdown.chars().count() > MARKDOWN_LIMIT {
                return Err(Refusal::new("msg_too_long"));
            }
            text = Some(markdown.clone());
            blocks = Some(vec![json!({"type": "markdown", "text": markdown})]);
        } else if !has_text && empty(blocks.as_ref()) && !attachments.as_deref().is_some_and(say_something) {
            let keeps_old = route == Route::Update && text.is_none() && blocks.is_none() && call.args.has("metadata");
            if !keeps_old {
                return Err(Refusal::new("no_text"));
            }
        }
        if let Some(blocks) = &blocks {
            blocks::check(blocks, Surface::Message).map_err(|refused| refuse_blocks(refused, "invalid_blocks"))?;
            check_videos(call, blocks)?;
            note_blocks(call, blocks, has_text || from_markdown);
        }
        if let Some(attachments) = &attachments {
            check_attachments(attachments)?;
        }
        let mut truncated = false;
        if let Some(text) = &mut text {
            truncated = limit_text(call, text, route)?;
        }
        let metadata = read_metadata(call)?;
        Ok(Self { text, blocks, attachments, metadata, truncated })
    }
}

fn empty(list: Option<&Vec<Value>>) -> bool {
    list.is_none_or(Vec::is_empty)
}

/// Attachments of which one at least has something to show; colours and the like alone do not count.
fn say_something(attachments: &[Value]) -> bool {
    const SHOWN: [&str; 11] = [
        "actions",
        "author_name",
        "blocks",
        "fallback",
        "fields",
        "footer",
        "image_url",
        "pretext",
        "text",
        "thumb_url",
        "title",
    ];
    let shown = |value: &Value| match value {
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    };
    // What is no object is refused with an error of its own.
    let says = |one: &Value| !one.is_object() || SHOWN.iter().any(|name| one.get(*name).is_some_and(shown));
    attachments.iter().any(says)
}

/// A list in a JSON body or as JSON text; `Err` when it is neither.
fn list(call: &Call<'_>, name: &str) -> Result<Option<Vec<Value>>, ()> {
    match call.args.structured(name)? {
        None => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list)),
        Some(_) => Err(()),
    }
}

/// Slack docs: `invalid_blocks`, or `invalid_attachments` for blocks in attachments; the reasons stand in `errors` and in
/// `response_metadata.messages`.
fn refuse_blocks(refused: blocks::Refused, error: &'static str) -> Refusal {
    let errors = match refused {
        blocks::Refused::TooLong => return Refusal::new("msg_blocks_too_long"),
        blocks::Refused::TwoTables => return explained("invalid_attachments", &["only_one_table_allowed".to_owned()]),
        blocks::Refused::Invalid(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
    };
    explained(error, &errors)
}

fn explained(error: &'static str, errors: &[String]) -> Refusal {
    let messages = errors.iter().map(|error| format!("[ERROR] {error}")).collect();
    Refusal { messages, ..Refusal::new(error) }.with("errors", json!(errors))
}

/// A video is embedded from elsewhere, which needs scopes of its own (Slack docs: video block).
fn check_videos(call: &mut Call<'_>, blocks: &[Value]) -> Result<(), Refusal> {
    const NEEDED: [&str; 3] = ["links:read", "links:write", "links.embed:write"];
    if !blocks.iter().any(|block| block["type"] == "video") {
        return Ok(());
    }
    let missing: Vec<_> = NEEDED.into_iter().filter(|scope| !call.has_scope(scope)).collect();
    if missing.is_empty() {
        for scope in NEEDED {
            call.use_scope(scope);
        }
        return Ok(());
    }
    let what = format!("Video validation failed: Bot scopes missing: [{}]", missing.join(", "));
    Err(explained("invalid_blocks", &[what]))
}

/// Strict mode: what a reader would miss although Slack accepts it.
fn note_blocks(call: &mut Call<'_>, blocks: &[Value], has_text: bool) {
    if !has_text && !blocks.is_empty() {
        call.flaw("blocks without text: notifications and screen readers have nothing to show");
    }
}

fn check_attachments(attachments: &[Value]) -> Result<(), Refusal> {
    if attachments.len() > ATTACHMENTS {
        return Err(Refusal::new("too_many_attachments"));
    }
    for (index, attachment) in attachments.iter().enumerate() {
        let Value::Object(map) = attachment else { return Err(Refusal::new("invalid_attachments")) };
        match map.get("blocks") {
            None | Some(Value::Null) => {}
            Some(Value::Array(list)) => {
                blocks::check_under(list, Surface::Message, &format!("/attachments/{index}/blocks"))
                    .map_err(|refused| refuse_blocks(refused, "invalid_attachments"))?;
            }
            Some(_) => return Err(Refusal::new("invalid_attachments")),
        }
    }
    Ok(())
}

/// Returns whether the text was cut.
fn limit_text(call: &mut Call<'_>, text: &mut String, route: Route) -> Result<bool, Refusal> {
    if route != Route::Post {
        return if text.len() > TEXT_LIMIT { Err(Refusal::new("msg_too_long")) } else { Ok(false) };
    }
    if text.len() <= TEXT_LIMIT {
        return Ok(false);
    }
    let characters = text.chars().count();
    if characters > TEXT_LIMIT {
        call.flaw(format!("text of {characters} characters may be split or cut; at most {TEXT_LIMIT} are advised"));
    }
    if characters <= TEXT_HARD_LIMIT {
        return Ok(false);
    }
    *text = text.chars().take(TEXT_HARD_LIMIT).collect();
    Ok(true)
}

fn read_metadata(call: &mut Call<'_>) -> Result<Option<Value>, Refusal> {
    let Some(metadata) = call.args.structured("metadata").map_err(|()| Refusal::new("invalid_metadata_format"))? else {
        return Ok(None);
    };
    let Value::Object(map) = &metadata else { return Err(Refusal::new("invalid_metadata_format")) };
    if map.is_empty() {
        return Ok(Some(metadata));
    }
    let event_type = map.get("event_type").and_then(Value::as_str).filter(|name| !name.is_empty());
    let payload = map.get("event_payload").and_then(Value::as_object);
    let (Some(event_type), Some(_)) = (event_type, payload) else {
        return Err(Refusal::new("invalid_metadata_format"));
    };
    if metadata.to_string().len() > call.world.settings.metadata_limit {
        return Err(Refusal::new("metadata_too_large"));
    }
    if event_type.contains('.') && call.world.settings.drop_dotted_metadata {
        call.flaw("metadata with a dot in event_type is dropped");
        return Ok(Some(json!({})));
    }
    Ok(Some(metadata))
}

/// Puts a text into a message as Slack stores it: emoji become names, plain URLs are marked as links.
pub(in crate::slack) fn store_text(message: &mut Message, text: &str) {
    text.clone_into(&mut message.sent_text);
    message.text = text::as_stored(&emoji::to_names(text));
}

/// The `rich_text` block that Slack makes of a bot's text-only message.
pub(in crate::slack) fn generate_blocks(message: &mut Message, block_id: &str) {
    if message.text.is_empty() {
        return;
    }
    let elements = text::rich_text_elements(&message.text);
    let section = json!({"type": "rich_text_section", "elements": elements});
    message.blocks = vec![json!({"type": "rich_text", "block_id": block_id, "elements": [section]})];
    message.generated_blocks = true;
}
