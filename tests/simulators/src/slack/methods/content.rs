//! What a message may consist of, common to posts, updates and ephemeral messages (Slack docs: chat.postMessage, truncating content, message metadata).

use serde_json::{Value, json};

use crate::slack::attachments::{self, Unfit};
use crate::slack::blocks::{self, Surface};
use crate::slack::call::Call;
use crate::slack::model::Message;
use crate::slack::refusal::Refusal;
use crate::slack::{emoji, text};

/// Longest text that is kept at all.
const TEXT_HARD_LIMIT: usize = 40_000;
/// Longest text of updates and ephemeral messages in bytes, and what is advised for posts.
const TEXT_LIMIT: usize = 4_000;
const MARKDOWN_LIMIT: usize = 12_000;

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
        } else if !has_text && empty(blocks.as_ref()) && !attachments.as_deref().is_some_and(attachments::say_something)
        {
            let keeps_old = route == Route::Update && text.is_none() && blocks.is_none() && call.args.has("metadata");
            if !keeps_old {
                return Err(Refusal::new("no_text"));
            }
        }
        if let Some(blocks) = &blocks {
            blocks::check(blocks, Surface::Message).map_err(|refused| refuse_blocks(refused, "invalid_blocks"))?;
            check_videos(call, blocks.iter(), "invalid_blocks")?;
            note_blocks(call, blocks, has_text || from_markdown);
        }
        if let Some(attachments) = &attachments {
            attachments::check(attachments, blocks.as_deref().unwrap_or_default()).map_err(refuse_attachments)?;
            check_videos(call, attachments::blocks(attachments), "invalid_attachments")?;
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

fn refuse_attachments(unfit: Unfit) -> Refusal {
    match unfit {
        Unfit::TooMany => Refusal::new("too_many_attachments"),
        Unfit::Shape => Refusal::new("invalid_attachments"),
        Unfit::Blocks(refused) => refuse_blocks(refused, "invalid_attachments"),
    }
}

fn explained(error: &'static str, errors: &[String]) -> Refusal {
    let messages = errors.iter().map(|error| format!("[ERROR] {error}")).collect();
    Refusal { messages, ..Refusal::new(error) }.with("errors", json!(errors))
}

/// A video is embedded from elsewhere, which needs scopes of its own (Slack docs: video block).
fn check_videos<'a>(
    call: &mut Call<'_>,
    mut blocks: impl Iterator<Item = &'a Value>,
    error: &'static str,
) -> Result<(), Refusal> {
    const NEEDED: [&str; 3] = ["links:read", "links:write", "links.embed:write"];
    if !blocks.any(|block| block["type"] == "video") {
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
    Err(explained(error, &[what]))
}

/// Strict mode: what a reader would miss although Slack accepts it.
fn note_blocks(call: &mut Call<'_>, blocks: &[Value], has_text: bool) {
    if !has_text && !blocks.is_empty() {
        call.flaw("blocks without text: notifications and screen readers have nothing to show");
    }
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
