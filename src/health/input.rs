//! Objects out of a text as people have them at hand: YAML documents, JSON values one after another, lists of both.

use serde_json::Value;

use crate::manifest::mistake::{Mistake, Span};
use crate::manifest::yaml::parse_documents;

/// So many mistakes are told; one text seldom holds more that differ.
const MOST_MISTAKES: usize = 50;

/// The objects of a text, lists expanded, and everything in it that is no object. `file` names it in mistakes.
pub fn objects_in(text: &str, file: &str) -> (Vec<Value>, Vec<Mistake>) {
    let text = text.trim_start_matches('\u{feff}');
    let documents = match json_documents(text) {
        Some(documents) => documents,
        None => match parse_documents(text) {
            Ok(documents) => documents,
            Err(error) => return (Vec::new(), vec![error.mistake(file, text)]),
        },
    };
    let mut found = (Vec::new(), Vec::new());
    if documents.is_empty() {
        found.1.push(mistake(file, "holds no object", None));
    }
    for (value, line) in documents {
        expand(value, &Place { file, text, line, within: String::new() }, &mut found);
    }
    found
}

/// JSON values one after another, each with its line; `None` when the text is not JSON (it may still be YAML).
fn json_documents(text: &str) -> Option<Vec<(Value, usize)>> {
    if !text.trim_start().starts_with(['{', '[']) {
        return None;
    }
    let mut documents = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let (mut counted, mut line) = (0, 1);
    loop {
        let start = stream.byte_offset();
        let begin = start + text[start..].len() - text[start..].trim_start().len();
        match stream.next() {
            None => return Some(documents),
            Some(Err(_)) => return None,
            Some(Ok(value)) => {
                line += text[counted..begin].matches('\n').count();
                counted = begin;
                documents.push((value, line));
            }
        }
    }
}

struct Place<'a> {
    file: &'a str,
    text: &'a str,
    line: usize,
    within: String,
}

fn mistake(file: &str, message: impl Into<String>, span: Option<Span>) -> Mistake {
    Mistake { code: "object", message: message.into(), file: file.to_owned(), span, hint: None }
}

/// Takes lists apart. Items of a typed list as the API server sends them (`kind: PodList`) name no kind of their own.
fn expand(value: Value, place: &Place<'_>, found: &mut (Vec<Value>, Vec<Mistake>)) {
    let within = |index: usize| Place {
        file: place.file,
        text: place.text,
        line: place.line,
        within: format!("item {} of {}", index + 1, if place.within.is_empty() { "the list" } else { &place.within }),
    };
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, version) = (text("kind"), text("apiVersion"));
    let mut refuse = |problem: &str| {
        if found.1.len() > MOST_MISTAKES {
            return;
        }
        if found.1.len() == MOST_MISTAKES {
            found.1.push(mistake(place.file, "holds more documents that are no Kubernetes objects", None));
            return;
        }
        let subject = if place.within.is_empty() { String::new() } else { format!("{} ", place.within) };
        let span = (place.line > 0).then(|| Span::on_line(place.text, place.line, 1, 1));
        found.1.push(mistake(place.file, format!("{subject}{problem}"), span));
    };
    match value {
        Value::Array(items) => {
            for (index, item) in items.into_iter().enumerate() {
                expand(item, &within(index), found);
            }
        }
        Value::Object(mut fields) if kind.ends_with("List") && fields.get("items").is_some_and(Value::is_array) => {
            let Some(Value::Array(items)) = fields.remove("items") else { return };
            for (index, mut item) in items.into_iter().enumerate() {
                if let (Value::Object(item), true) = (&mut item, kind != "List") {
                    let of_item = |value: &str| Value::from(value.to_owned());
                    item.entry("kind").or_insert_with(|| of_item(kind.trim_end_matches("List")));
                    item.entry("apiVersion").or_insert_with(|| of_item(&version));
                }
                expand(item, &within(index), found);
            }
        }
        Value::Object(_) if kind.is_empty() => refuse("has no kind: it is not a Kubernetes object"),
        Value::Object(_) if version.is_empty() => refuse("has no apiVersion: it is not a Kubernetes object"),
        Value::Object(_) => found.0.push(value),
        _ => refuse("is not a Kubernetes object"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn kinds(text: &str) -> String {
        let (objects, mistakes) = objects_in(text, "f");
        let mut all: Vec<String> = objects.iter().map(|it| it["kind"].as_str().unwrap().to_owned()).collect();
        all.extend(mistakes.iter().map(ToString::to_string));
        all.join(" | ")
    }

    #[test]
    fn forms() {
        for (text, expected) in [
            ("apiVersion: v1\nkind: A\n---\n---\napiVersion: v1\nkind: B\n", "A | B"),
            ("\u{feff}{\"apiVersion\": \"v1\", \"kind\": \"A\"}\n{\"apiVersion\": \"v1\", \"kind\": \"B\"}", "A | B"),
            ("[{\"apiVersion\": \"v1\", \"kind\": \"A\"}]", "A"),
            ("{apiVersion: v1, kind: A}", "A"),
            (
                "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: A}\n- {apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: B}]}",
                "A | B",
            ),
            ("{\"apiVersion\": \"v1\", \"kind\": \"PodList\", \"items\": [{\"metadata\": {}}]}", "Pod"),
            ("apiVersion: v1\nkind: List\nitems: []\n", ""),
            ("", "f: holds no object"),
            ("# nothing\n", "f: holds no object"),
        ] {
            assert_eq!(kinds(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_object_is_told_with_its_line_and_the_rest_is_kept() {
        for (text, expected) in [
            (
                "apiVersion: v1\nkind: A\n---\nname: x\n---\nkind: B\n",
                "A | f:4:1: has no kind: it is not a Kubernetes object | f:6:1: has no apiVersion: it is not a Kubernetes object",
            ),
            (
                "{\"apiVersion\": \"v1\", \"kind\": \"A\"}\n\n  {\"kind\": 5}",
                "A | f:3:1: has no kind: it is not a Kubernetes object",
            ),
            (
                "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: A}, 5]",
                "A | f:1:1: item 2 of the list is not a Kubernetes object",
            ),
            ("just words", "f:1:1: is not a Kubernetes object"),
        ] {
            assert_eq!(kinds(text), expected, "{text}");
        }
    }

    #[test]
    fn broken_texts_have_a_place() {
        let (objects, mistakes) = objects_in("apiVersion: v1\nkind: [\n", "pods.yaml");
        assert!(objects.is_empty());
        assert!(mistakes[0].to_string().starts_with("pods.yaml:"), "{}", mistakes[0]);
        let (_, mistakes) = objects_in("{\"kind\": \"A\",\n \"apiVersion\": ", "pods.json");
        assert!(mistakes[0].span.is_some(), "{mistakes:?}");
    }
}
