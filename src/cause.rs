//! What an error that wraps others is about.

use std::error::Error;

/// `text`, and behind it the innermost cause of `error`, which says what really happened, unless `text` holds it already.
pub(crate) fn with_innermost(text: String, error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let told = match causes.last().map(ToString::to_string) {
        Some(cause) if text.is_empty() => cause,
        Some(cause) if !text.contains(&cause) => format!("{text}: {cause}"),
        _ => text,
    };
    without_debug(&told)
}

/// The text without a debugging form that a library put into it: `UnknownIssuerContext { chain: [..] }` becomes
/// `unknown issuer context`.
pub(crate) fn without_debug(text: &str) -> String {
    let Some((before, _)) = text.split_once('{') else { return text.to_owned() };
    let before = before.trim_end();
    let start = before.rfind(|c: char| !c.is_alphanumeric()).map_or(0, |at| at + 1);
    let (prefix, name) = before.split_at_checked(start).unwrap_or(("", before));
    if is_variant(name) { format!("{prefix}{}", spaced(name)) } else { text.to_owned() }
}

/// Whether a word is the name of a variant: capitals begin its parts.
fn is_variant(word: &str) -> bool {
    word.starts_with(char::is_uppercase) && word.contains(char::is_lowercase)
}

/// The parts of a variant's name as words.
pub(crate) fn spaced(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    let mut previous = ' ';
    for character in name.chars() {
        if character.is_uppercase() && previous.is_lowercase() {
            words.push(' ');
        }
        words.extend(character.to_lowercase());
        previous = character;
    }
    words
}

/// What the Kubernetes API said, without the debugging form that kube adds; where it said nothing, the innermost cause too: why
/// nobody answered.
pub(crate) fn of_kube(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => with_innermost(other.to_string(), other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debugging_form_becomes_words() {
        for (text, expected) in [
            (
                "invalid peer certificate: UnsupportedSignatureAlgorithmForPublicKeyContext { signature_algorithm_id: [1] }",
                "invalid peer certificate: unsupported signature algorithm for public key context",
            ),
            ("Other { a: {} }", "other"),
            ("no braces", "no braces"),
            ("json {\"a\": 1}", "json {\"a\": 1}"),
            ("{}", "{}"),
        ] {
            assert_eq!(without_debug(text), expected);
        }
    }
}
