//! A mistake in a kit, with the place it was made: what errors about files are made of.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// One mistake in the kit. Rendered by the command line with the source line underlined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// A stable short code, e.g. `undefined`, `unknown-key`, `yaml`, `duplicate`.
    pub code: &'static str,
    /// What is wrong, a lower-case sentence without a full stop.
    pub message: String,
    /// Path relative to the kit's root; empty when no file is at fault.
    pub file: String,
    /// The place in the file, if known.
    pub span: Option<Span>,
    /// What to do, e.g. `did you mean values.api.replicas (environments/base.yaml:12)?`.
    pub hint: Option<String>,
}

/// A place in a file, with the text of its line so that it can be shown without reading the file again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Characters to underline, at least 1.
    pub length: usize,
    /// The source line, without its line end.
    pub text: String,
}

impl Span {
    /// A span on a line of a source text; `line` and `column` from 1. Clamped to what is there.
    pub fn on_line(source: &str, line: usize, column: usize, length: usize) -> Self {
        let text = source.lines().nth(line.saturating_sub(1)).unwrap_or_default().to_owned();
        let width = text.chars().count();
        let column = column.clamp(1, width.max(1));
        let length = length.clamp(1, (width + 1).saturating_sub(column).max(1));
        Self { line: line.max(1), column, length, text }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.span, self.file.is_empty()) {
            (Some(span), _) => write!(f, "{}:{}:{}: ", self.file, span.line, span.column)?,
            (None, false) => write!(f, "{}: ", self.file)?,
            (None, true) => {}
        }
        f.write_str(&self.message)
    }
}

/// Every mistake found in one go, never empty. Sorted by file and line before they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{} in the kit", count(.0.len()))]
pub struct Mistakes(pub Vec<Mistake>);

fn count(mistakes: usize) -> String {
    if mistakes == 1 { "1 mistake".into() } else { format!("{mistakes} mistakes") }
}

impl From<Mistake> for Mistakes {
    fn from(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }
}

/// What a value is: `a number`, `a mapping`.
pub fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// The known name nearest to a mistyped one, if any is near enough to be meant.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(typed, name), name))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
