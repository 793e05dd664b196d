//! JSON as Go's `encoding/json` writes it. The official plugin compares stored JSON, byte by byte, with what it would
//! write itself; anything else makes it fail on that request for good.

use std::fmt::Write as _;

/// A list of strings; empty for an empty list, which the official plugin stores as an absent key.
pub(crate) fn strings(list: &[String]) -> String {
    if list.is_empty() {
        return String::new();
    }
    // Plain strings always serialise.
    let json = serde_json::to_string(list).unwrap_or_default();
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                // Writing into a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::delivery::gojson::*;

    #[test]
    fn html_characters_and_line_separators_are_escaped_as_go_does() {
        let list = ["a<b>&\u{2028}".to_owned(), "\"q\"\n".to_owned()];
        assert_eq!(strings(&list), r#"["a\u003cb\u003e\u0026\u2028","\"q\"\n"]"#);
        assert_eq!(strings(&[]), "");
    }
}
