//! A path to a field as people write it: `spec.replicas`, `spec.template.spec.containers[name=api].image`,
//! `metadata.annotations["a.b/c"]`. Pure.

use std::fmt;

use serde_json::{Map, Value, json};

use super::managed_fields::FieldSet;

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// A member of a mapping.
    Name(String),
    /// The entry of a list whose member has a value.
    Entry(String, String),
}

/// A path to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<Step>);

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            let dot = if at == 0 { "" } else { "." };
            match step {
                Step::Name(name) if name.is_empty() || name.contains(['.', '/', '[', ' ']) => {
                    write!(f, "[{}]", json!(name))?
                }
                Step::Name(name) => write!(f, "{dot}{name}")?,
                Step::Entry(key, value) => write!(f, "[{key}={value}]")?,
            }
        }
        Ok(())
    }
}

/// Whether a member has a value as it is written in a path.
fn is_written(value: Option<&Value>, text: &str) -> bool {
    match value {
        Some(Value::String(value)) => value == text,
        Some(value) => {
            let written = value.to_string();
            written == text
        }
        None => false,
    }
}

/// The parts of a comma-separated list; commas in brackets do not count.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    let split = move |letter: char| {
        match letter {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    };
    text.split(split).map(str::trim).filter(|part| !part.is_empty())
}

impl FieldPath {
    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment that follows the path.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let mut quoted = serde_json::Deserializer::from_str(inner).into_iter::<String>();
                if let Some(Ok(name)) = quoted.next()
                    && let Some(after) = inner[quoted.byte_offset()..].strip_prefix(']')
                {
                    steps.push(Step::Name(name));
                    rest = after;
                    continue;
                }
                let (content, after) = inner.split_once(']').ok_or("has a bracket that does not end")?;
                // Members that tell entries apart have plain names; anything else is a quoted name that does not end.
                let plain =
                    |key: &str| !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
                let Some((key, value)) = content.split_once('=').filter(|(key, _)| plain(key)) else {
                    return Err(format!("has [{content}], which is neither [name=value] nor [\"name\"]"));
                };
                steps.push(Step::Entry(key.to_owned(), value.trim_matches('"').to_owned()));
                rest = after;
            } else {
                let name = rest.strip_prefix('.').filter(|_| !steps.is_empty()).unwrap_or(rest);
                let end = name.find(['.', '[']).unwrap_or(name.len());
                if end == 0 {
                    return Err("has an empty name".into());
                }
                steps.push(Step::Name(name[..end].to_owned()));
                rest = &name[end..];
            }
        }
        if steps.is_empty() { Err("is empty".into()) } else { Ok(Self(steps)) }
    }

    /// Reads a comma-separated list of paths; of one that cannot be read, its text and what is wrong.
    pub fn list(text: &str) -> Vec<Result<Self, (String, String)>> {
        parts(text).map(|part| Self::parse(part).map_err(|error| (part.to_owned(), error))).collect()
    }

    /// The names at its beginning, as far as it leads through mappings.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map_while(|step| if let Step::Name(name) = step { Some(name.as_str()) } else { None }).collect()
    }

    /// What is there.
    pub fn get<'v>(&self, body: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(body, |value, step| match step {
            Step::Name(name) => value.get(name),
            Step::Entry(key, text) => value.as_array()?.iter().find(|entry| is_written(entry.get(key), text)),
        })
    }

    /// Takes out what is there.
    pub fn remove(&self, body: &mut Value) -> Option<Value> {
        let (last, way) = self.0.split_last()?;
        let parent = way.iter().try_fold(body, |value, step| match step {
            Step::Name(name) => value.get_mut(name),
            Step::Entry(key, text) => value.as_array_mut()?.iter_mut().find(|entry| is_written(entry.get(key), text)),
        })?;
        match last {
            Step::Name(name) => parent.as_object_mut()?.shift_remove(name),
            Step::Entry(key, text) => {
                let entries = parent.as_array_mut()?;
                let at = entries.iter().position(|entry| is_written(entry.get(key), text))?;
                Some(entries.remove(at))
            }
        }
    }

    /// Puts something there, with the mappings and entries on the way to it where they are missing. Nothing happens where the way
    /// leads through something else.
    pub fn put(&self, body: &mut Value, value: Value) {
        let mut at = body;
        for (depth, step) in self.0.iter().enumerate() {
            if at.is_null() {
                *at = if matches!(step, Step::Name(_)) { json!({}) } else { json!([]) };
            }
            let below = match (step, at) {
                (Step::Name(name), Value::Object(members)) => members.entry(name.clone()).or_insert(Value::Null),
                (Step::Entry(key, text), Value::Array(entries)) => {
                    let known = entries.iter().position(|entry| is_written(entry.get(key), text));
                    let index = known.unwrap_or_else(|| {
                        entries.push(Value::Object(Map::from_iter([(key.clone(), json!(text))])));
                        entries.len() - 1
                    });
                    &mut entries[index]
                }
                _ => return,
            };
            if depth + 1 == self.0.len() {
                *below = value;
                return;
            }
            at = below;
        }
    }

    /// The part of a field set that is at this path or below it; empty when it stands for the whole value.
    pub fn below<'f>(&self, fields: &'f FieldSet) -> Option<&'f FieldSet> {
        self.0.iter().try_fold(fields, |fields, step| match step {
            Step::Name(name) => fields.get(&format!("f:{name}"))?.as_object(),
            Step::Entry(key, text) => fields.iter().find_map(|(name, below)| {
                let keys: Value = serde_json::from_str(name.strip_prefix("k:")?).ok()?;
                is_written(keys.get(key), text).then(|| below.as_object())?
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> FieldPath {
        FieldPath::parse(text).unwrap()
    }

    fn object() -> Value {
        json!({"metadata": {"annotations": {"a.b/c": "x"}}, "spec": {"replicas": 3,
            "containers": [{"name": "a", "image": "a:1"}, {"name": "b", "ports": [{"containerPort": 80, "name": "w"}]}]}})
    }

    #[test]
    fn paths_lead_where_people_mean() {
        for (text, value) in [
            ("spec.replicas", json!(3)),
            ("spec.containers[name=a].image", json!("a:1")),
            ("spec.containers[name=\"a\"].image", json!("a:1")),
            ("spec.containers[name=b].ports[containerPort=80].name", json!("w")),
            ("metadata.annotations[\"a.b/c\"]", json!("x")),
        ] {
            assert_eq!(path(text).get(&object()), Some(&value), "{text}");
            let mut without = object();
            assert_eq!(path(text).remove(&mut without), Some(value.clone()), "{text}");
            assert_eq!(path(text).get(&without), None, "{text}");
            path(text).put(&mut without, value);
            assert_eq!(without, object(), "{text}");
        }
        for text in ["spec.nothing", "spec.containers[name=c]", "spec.replicas.a", "spec.containers.image"] {
            assert_eq!(path(text).get(&object()), None, "{text}");
            assert_eq!(path(text).remove(&mut object()), None, "{text}");
        }
        for (text, wrong) in [
            ("", "is empty"),
            ("a..b", "has an empty name"),
            (".a", "has an empty name"),
            ("a.", "has an empty name"),
            ("a[b", "has a bracket that does not end"),
            ("a[b]", "has [b], which is neither [name=value] nor [\"name\"]"),
        ] {
            assert_eq!(FieldPath::parse(text), Err(wrong.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_list_is_split_at_commas_outside_of_brackets() {
        let list = FieldPath::list("spec.replicas, metadata.annotations[\"a,b\"],, x..y");
        assert_eq!(list.len(), 3);
        assert_eq!(
            list[1],
            Ok(FieldPath(vec![
                Step::Name("metadata".into()),
                Step::Name("annotations".into()),
                Step::Name("a,b".into())
            ]))
        );
        assert_eq!(list[2], Err(("x..y".into(), "has an empty name".into())));
    }

    #[test]
    fn a_path_finds_its_part_of_a_field_set() {
        let fields = json!({"f:spec": {"f:replicas": {}, "f:containers": {"k:{\"name\":\"a\"}": {"f:image": {}}}}});
        let below = |text: &str| path(text).below(fields.as_object().unwrap()).map(|it| Value::Object(it.clone()));
        assert_eq!(below("spec.replicas"), Some(json!({})));
        assert_eq!(below("spec.containers[name=a]"), Some(json!({"f:image": {}})));
        assert_eq!(below("spec.containers[name=b]"), None);
        assert_eq!(below("spec.paused"), None);
    }

    #[test]
    fn a_quoted_name_that_does_not_end_is_no_entry() {
        assert!(FieldPath::parse("[\"=]] ,").is_err());
        assert!(FieldPath::parse("[a b=c]").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_what_is_read_is_written_the_same(text in "[a-c.=\\[\\]\", /]{0,12}") {
            if let Ok(path) = FieldPath::parse(&text) {
                prop_assert_eq!(FieldPath::parse(&path.to_string()), Ok(path));
            }
        }
    }
}
