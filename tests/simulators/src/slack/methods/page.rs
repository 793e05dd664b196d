//! Cursor-based pages (Slack docs: pagination).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::slack::call::Call;
use crate::slack::refusal::Refusal;

/// Where a page starts and how long it is.
pub(super) struct Page {
    /// The last key of the page before.
    pub(super) after: Option<String>,
    limit: usize,
    empty: bool,
}

/// What the key of an empty first page is made of.
const START: &str = "start";

impl Page {
    /// Reads `cursor` and `limit`; `kind` keeps the cursors of one method from being used with another.
    pub(super) fn read(call: &Call<'_>, kind: &str, default: usize, max: usize) -> Result<Self, Refusal> {
        let limit = match call.args.text("limit")?.as_deref() {
            None | Some("") => default,
            Some(text) => text.parse().map_err(|_| Refusal::new("invalid_limit"))?,
        };
        if limit > max {
            return Err(Refusal::new("invalid_limit"));
        }
        let limit = if limit == 0 { default } else { limit };
        let cursor = call.args.text_or_empty("cursor")?;
        let short = call.world.settings.short_pages;
        if cursor.is_empty() {
            return Ok(Self { after: None, limit, empty: short });
        }
        let key = decode(&cursor, kind).ok_or_else(|| Refusal::new("invalid_cursor"))?;
        let limit = if short { limit.div_ceil(2) } else { limit };
        Ok(Self { after: Some(key).filter(|key| key != START), limit, empty: false })
    }

    /// Takes one page of `items`, which start after [`Page::after`], and names the next cursor, or the empty text.
    pub(super) fn take<T>(
        &self,
        kind: &str,
        items: impl Iterator<Item = T>,
        key: impl Fn(&T) -> String,
    ) -> (Vec<T>, String) {
        if self.empty {
            return (Vec::new(), encode(kind, START));
        }
        let mut items = items.peekable();
        let page: Vec<T> = items.by_ref().take(self.limit).collect();
        let next = items.peek().and_then(|_| page.last()).map(|last| encode(kind, &key(last)));
        (page, next.unwrap_or_default())
    }
}

/// Ends in `=`, as Slack's do, so that clients have to encode it.
fn encode(kind: &str, key: &str) -> String {
    let mut text = format!("{kind}:{key}");
    while text.len() % 3 == 0 {
        text.push(' ');
    }
    STANDARD.encode(text)
}

fn decode(cursor: &str, kind: &str) -> Option<String> {
    let text = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
    let (found, key) = text.split_once(':')?;
    (found == kind).then(|| key.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_end_in_an_equals_sign_and_belong_to_one_kind() {
        for key in ["U1", "U12", "U123"] {
            let cursor = encode("user", key);
            assert!(cursor.ends_with('='), "{cursor}");
            assert_eq!(decode(&cursor, "user").as_deref(), Some(key));
            assert_eq!(decode(&cursor, "team"), None);
        }
        assert_eq!(decode("%%%", "user"), None);
    }
}
