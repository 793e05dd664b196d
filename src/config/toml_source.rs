//! Where a setting stands in the file, and how a problem with it is told.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// Where a problem is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file; line and column count from 1, columns in characters.
    Position {
        /// The file's name.
        file: String,
        /// Line.
        line: usize,
        /// Column.
        column: usize,
    },
    /// In a file that lacks something.
    File(String),
    /// In an environment variable.
    Variable(String),
}

impl Place {
    /// The position in a file behind this text.
    fn after(file: &str, before: &str) -> Self {
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self::Position { file: file.to_owned(), line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Position { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::File(file) => f.write_str(file),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// One line about a setting: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What; names the setting, never a secret's value.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Problem {
    /// The file has bytes that are no UTF-8, which TOML has to be.
    pub(super) fn not_text(file: &str, bytes: &[u8], error: &std::str::Utf8Error) -> Self {
        let before = String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default());
        Self {
            place: Place::after(file, &before),
            what: "not UTF-8 text".to_owned(),
            remedy: "save the file as UTF-8, or name another with --config".to_owned(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.place, self.what, self.remedy)
    }
}

/// The file's text with the positions of its keys.
pub(super) struct Source<'a> {
    file: &'a str,
    text: &'a str,
    table: Spanned<DeTable<'a>>,
}

impl<'a> Source<'a> {
    /// Fails when the text is not TOML, or has one of the settings twice.
    ///
    /// `known` names the sections with their keys. These are found in any case: go-toml v1, with which the official plugin
    /// reads its file, takes `TOKEN` for `token`.
    pub(super) fn new(
        file: &'a str,
        text: &'a str,
        known: &'static [(&'static str, &'static [&'static str])],
    ) -> Result<Self, Problem> {
        let mut source = Self { file, text, table: Spanned::new(0..0, DeTable::new()) };
        source.table = DeTable::parse(text).map_err(|error| source.not_toml(&error))?;
        let table = source.table.get_mut();
        let mut doubled = fold(table, "", known.iter().map(|(section, _)| *section));
        for (section, keys) in known {
            if let Some(DeValue::Table(table)) = table.get_mut(*section).map(Spanned::get_mut) {
                doubled = doubled.or_else(|| fold(table, section, keys.iter().copied()));
            }
        }
        match doubled {
            None => Ok(source),
            Some((setting, span)) => Err(Problem {
                place: source.position(Some(span)),
                what: format!("{setting} is set twice"),
                remedy: "keep one of the two".into(),
            }),
        }
    }

    fn not_toml(&self, error: &toml::de::Error) -> Problem {
        let what = one_line(error.message());
        let remedy = if what.contains("duplicate") {
            "keep one of the two"
        } else {
            "correct the line; text values stand in double quotes"
        };
        Problem { place: self.position(error.span()), what: format!("not valid TOML: {what}"), remedy: remedy.into() }
    }

    /// The file's content, to be deserialized.
    pub(super) fn content(&self) -> Spanned<DeTable<'a>> {
        self.table.clone()
    }

    /// The place of a key, by its path; of the nearest enclosing section, or of the file, when it is not there.
    pub(super) fn place(&self, path: &[&str]) -> Place {
        let mut table = self.table.get_ref();
        let mut found = None;
        for name in path {
            let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == name) else { break };
            found = Some(key.span());
            match value.get_ref() {
                DeValue::Table(inner) => table = inner,
                _ => break,
            }
        }
        self.position(found)
    }

    /// The keys of a section, with their places.
    #[cfg(test)]
    pub(super) fn keys(&self, section: &str) -> impl Iterator<Item = (&str, Place)> {
        let found = self.table.get_ref().iter().find(|(key, _)| key.get_ref() == section);
        let entries =
            found.and_then(|(_, value)| value.get_ref().as_table()).into_iter().flat_map(|table| table.iter());
        entries.map(|(key, _)| (key.get_ref().as_ref(), self.position(Some(key.span()))))
    }

    /// The dotted path of the setting whose value covers an error's span.
    pub(super) fn setting_at(&self, span: &Range<usize>) -> Option<String> {
        covering(self.table.get_ref(), span).map(|path| path.join("."))
    }

    /// A place in the text; the file when the span is unknown.
    pub(super) fn position(&self, span: Option<Range<usize>>) -> Place {
        match span.and_then(|span| self.text.get(..span.start)) {
            Some(before) => Place::after(self.file, before),
            None => Place::File(self.file.to_owned()),
        }
    }
}

/// Keys from the table down to the innermost value that covers the span. Every table is entered: the span of one with a
/// header of its own is that of the header.
fn covering<'t>(table: &'t DeTable<'_>, span: &Range<usize>) -> Option<Vec<&'t str>> {
    table.iter().find_map(|(key, value)| {
        let inner = value.get_ref().as_table().and_then(|table| covering(table, span));
        let covers = value.span().start <= span.start && span.end <= value.span().end;
        let mut path = inner.or_else(|| covers.then(Vec::new))?;
        path.insert(0, key.get_ref().as_ref());
        Some(path)
    })
}

/// Gives every key that is a known one in another case, or in an official spelling, its own spelling. Returns a setting
/// that is then there twice, with the place of the second.
fn fold(
    table: &mut DeTable<'_>,
    section: &str,
    known: impl Iterator<Item = &'static str>,
) -> Option<(String, Range<usize>)> {
    for name in known {
        let is_meant =
            |key: &str| key.eq_ignore_ascii_case(name) || (name == API_URL && key.eq_ignore_ascii_case("APIURL"));
        let mut found: Vec<_> = table.keys().filter(|key| is_meant(key.get_ref())).cloned().collect();
        found.sort_by_key(|key| key.span().start);
        if let [_, second, ..] = found.as_slice() {
            let setting = [section, name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
            return Some((setting, second.span()));
        }
        if let Some(key) = found.pop().filter(|key| key.get_ref() != name)
            && let Some(value) = table.remove(&key)
        {
            table.insert(Spanned::new(key.span(), DeString::Borrowed(name)), value);
        }
    }
    None
}

/// The official key has no name of its own: it is that of the Go field, `APIURL`.
const API_URL: &str = "api_url";

/// The parser puts what it expected on a second line.
pub(super) fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join(", ")
}

/// The known word that was probably meant: at most a third of its characters are wrong, and at most three.
pub(super) fn closest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    known
        .into_iter()
        .map(|candidate| (edits(word, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= (candidate.chars().count() / 3).min(3))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, ignoring case.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.to_lowercase().chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(i + 1);
        let mut last = i + 1;
        for (r, pair) in right.iter().zip(row.windows(2)) {
            let &[diagonal, above] = pair else { continue };
            last = (diagonal + usize::from(l != *r)).min(above + 1).min(last + 1);
            next.push(last);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::config::toml_source::*;

    #[test]
    fn a_key_is_found_by_line_and_column() {
        let source = Source::new("f", "# é\n[slack]\n  token = \"x\"\n", &[]).unwrap();
        assert_eq!(source.place(&["slack", "token"]).to_string(), "f:3:3");
        assert_eq!(source.place(&["slack", "api_url"]).to_string(), "f:2:2");
        assert_eq!(source.place(&["log"]).to_string(), "f");
    }

    #[test]
    fn columns_count_characters() {
        let source = Source::new("f", "\"éé\" = 1\nlog = { \"日本\" = 1, output = 2 }", &[]).unwrap();
        assert_eq!(source.place(&["log", "output"]).to_string(), "f:2:19");
    }

    #[test]
    fn text_that_is_not_toml_is_told_in_one_line() {
        let problem = Source::new("f", "[slack]\ntoken = xoxb-1\n", &[]).err().unwrap();
        assert!(problem.to_string().starts_with("f:2:9: not valid TOML: "), "{problem}");
        assert!(!problem.to_string().contains('\n'));
        assert!(!problem.to_string().contains("xoxb"), "{problem}");
    }

    #[test]
    fn a_typing_mistake_is_close_and_another_word_is_not() {
        let known = ["addr", "identity", "client_key", "refresh_identity"];
        assert_eq!(closest("identiy", known), Some("identity"));
        assert_eq!(closest("Addr", known), Some("addr"));
        assert_eq!(closest("adr", known), Some("addr"));
        assert_eq!(closest("clientkey", known), Some("client_key"));
        assert_eq!(closest("zone", known), None);
        assert_eq!(closest("", known), None);
    }
}
