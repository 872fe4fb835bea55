//! A run or a rehearsal as one document: what is kept, printed, or handed to somebody who was not there.
//!
//! [`Report`] is the contents, made of the same model as the last screen; [`html`] and its neighbours are forms of it. All of
//! it is pure. Texts from outside pass `change`, which redacts and cleans, and then the form's own escaping, at one place
//! each.

mod contents;
pub mod html;
pub mod junit;
pub mod markdown;
mod markup;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub use contents::{About, Kind, Report, Step};

/// The forms that a report can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One self-contained page.
    Html,
    /// The contents as one JSON object.
    Json,
    /// Markdown.
    Markdown,
    /// JUnit XML.
    Junit,
}

impl Form {
    /// The endings of files, as messages name them.
    pub const ENDINGS: &str = ".html, .json, .md, .xml (JUnit)";

    /// The form that a file's ending asks for.
    pub fn of(path: &std::path::Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "html" | "htm" => Some(Self::Html),
            "json" => Some(Self::Json),
            "md" | "markdown" => Some(Self::Markdown),
            "xml" => Some(Self::Junit),
            _ => None,
        }
    }

    /// The report as text. `change` redacts and cleans a text from outside before it is escaped.
    pub fn render(self, report: &Report, change: &dyn Fn(&str) -> String) -> String {
        match self {
            Self::Html => html::page(report, change),
            Self::Json => json(report, change),
            Self::Markdown => markdown::text(report, change),
            Self::Junit => junit::xml(report, change),
        }
    }
}

/// Times are RFC 3339, durations seconds.
fn json(report: &Report, change: &dyn Fn(&str) -> String) -> String {
    // Plain data with text keys has nothing to fail on.
    let mut value = serde_json::to_value(report).unwrap_or_default();
    super::json::round(&mut value);
    map(&mut value, change);
    format!("{value:#}\n")
}

fn map(value: &mut Value, change: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| map(item, change)),
        Value::Object(fields) => fields.values_mut().for_each(|field| map(field, change)),
        _ => {}
    }
}
