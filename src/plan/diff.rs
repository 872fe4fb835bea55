//! What would change in an object, field by field, in words that a person can read. Pure.

use serde::Serialize;
use serde_json::{Map, Value, json};
use similar::{ChangeTag, TextDiff};

/// Fields that the API server keeps for itself: they say nothing about what somebody wants.
const SERVERS: [&str; 8] = [
    "managedFields",
    "resourceVersion",
    "generation",
    "uid",
    "creationTimestamp",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// Keys by which entries of a list are told apart, the first that every entry has. These are the list-map keys of
/// Kubernetes' own types (`x-kubernetes-list-map-keys`), most telling first.
const KEYS: [&str; 8] = ["name", "containerPort", "port", "mountPath", "key", "type", "ip", "uid"];

/// Longest value that is shown on one line, in characters.
const LONG: usize = 100;

/// One field that would change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Where, e.g. `spec.template.spec.containers[name=api].image`.
    pub path: String,
    /// What is there; `None` when nothing is. Values of Secrets are never here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What would be there; `None` when the field would go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// What stands for a value of a Secret.
const HIDDEN: &str = "•••";

/// An object without what only the API server and the controllers write.
fn wanted(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(body) = object.as_object_mut() {
        body.shift_remove("status");
        if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|name, _| !SERVERS.contains(&name.as_str()));
        }
    }
    object
}

/// The fields in which two states of an object differ, in the order of the fields.
pub fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let (mut before, mut after) = (wanted(before), wanted(after));
    let secret = after.get("kind").and_then(Value::as_str) == Some("Secret")
        && after.get("apiVersion").and_then(Value::as_str) == Some("v1");
    let mut found = Vec::new();
    if secret {
        // Compared first, hidden afterwards: that a value differs may be told, the value not.
        let hidden = |side: &mut Value| {
            let parts =
                ["data", "stringData"].map(|part| side.as_object_mut().and_then(|body| body.shift_remove(part)));
            parts.into_iter().flatten().filter_map(|part| part.as_object().cloned()).flatten().collect::<Map<_, _>>()
        };
        let (old, new) = (hidden(&mut before), hidden(&mut after));
        let mut values = Vec::new();
        compare("data", &Value::Object(old), &Value::Object(new), &mut values);
        let hide = |value: Option<Value>| value.map(|_| json!(HIDDEN));
        found.extend(values.into_iter().map(|it| Change { before: hide(it.before), after: hide(it.after), ..it }));
    }
    compare("", &before, &after, &mut found);
    found
}

fn compare(path: &str, before: &Value, after: &Value, found: &mut Vec<Change>) {
    match (before, after) {
        _ if before == after => {}
        (Value::Object(old), Value::Object(new)) => {
            let below = |name: &str| join(path, name);
            for (name, value) in old {
                match new.get(name) {
                    Some(other) => compare(&below(name), value, other, found),
                    None => found.push(Change { path: below(name), before: Some(value.clone()), after: None }),
                }
            }
            for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
                found.push(Change { path: below(name), before: None, after: Some(value.clone()) });
            }
        }
        (Value::Array(old), Value::Array(new)) => match key_of(old, new) {
            Some(key) => by_key(path, key, old, new, found),
            None => {
                found.push(Change { path: path.to_owned(), before: Some(before.clone()), after: Some(after.clone()) })
            }
        },
        _ => found.push(Change { path: path.to_owned(), before: Some(before.clone()), after: Some(after.clone()) }),
    }
}

/// A name in a path: one with dots is put into brackets, as in `metadata.annotations["a.b/c"]`.
fn join(path: &str, name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    match (path, plain) {
        ("", true) => name.to_owned(),
        (_, true) => format!("{path}.{name}"),
        (_, false) => format!("{path}[{}]", json!(name)),
    }
}

/// The key that tells the entries of both lists apart.
fn key_of(old: &[Value], new: &[Value]) -> Option<&'static str> {
    KEYS.into_iter().find(|key| {
        let distinct = |list: &[Value]| {
            let values: Option<Vec<&Value>> = list.iter().map(|entry| entry.get(key)).collect();
            values.is_some_and(|values| {
                values.iter().enumerate().all(|(at, value)| !value.is_object() && !values[..at].contains(value))
            })
        };
        distinct(old) && distinct(new)
    })
}

fn by_key(path: &str, key: &str, old: &[Value], new: &[Value], found: &mut Vec<Change>) {
    let place = |entry: &Value| {
        let value = match &entry[key] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        format!("{path}[{key}={value}]")
    };
    let twin = |list: &[Value], entry: &Value| list.iter().find(|other| other[key] == entry[key]).cloned();
    for entry in old {
        match twin(new, entry) {
            Some(other) => compare(&place(entry), entry, &other, found),
            None => found.push(Change { path: place(entry), before: Some(entry.clone()), after: None }),
        }
    }
    for entry in new.iter().filter(|entry| twin(old, entry).is_none()) {
        found.push(Change { path: place(entry), before: None, after: Some(entry.clone()) });
    }
}

/// The lines that show a change, each with the sign in front that diffs have: `-`, `+` or a blank for a heading.
pub fn lines(change: &Change) -> Vec<(char, String)> {
    let Change { path, before, after } = change;
    if let (Some(Value::String(old)), Some(Value::String(new))) = (before, after)
        && (old.contains('\n') || new.contains('\n'))
    {
        let mut shown = vec![(' ', format!("{path}:"))];
        let diff = TextDiff::from_lines(old, new);
        for change in diff.iter_all_changes().filter(|change| change.tag() != ChangeTag::Equal) {
            let sign = if change.tag() == ChangeTag::Delete { '-' } else { '+' };
            shown.push((sign, format!("  {}", short(change.value().trim_end()))));
        }
        return shown;
    }
    let mut shown = Vec::new();
    if let Some(old) = before {
        shown.push(('-', format!("{path}: {}", text(old))));
    }
    if let Some(new) = after {
        shown.push(('+', format!("{path}: {}", text(new))));
    }
    shown
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains('\n') && text.trim() == text => short(text),
        other => short(&other.to_string()),
    }
}

fn short(text: &str) -> String {
    if text.chars().count() <= LONG {
        return text.to_owned();
    }
    let kept: String = text.chars().take(LONG - 1).collect();
    kept + "…"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(before: &Value, after: &Value) -> String {
        let lines: Vec<_> = changes(before, after).iter().flat_map(lines).collect();
        let lines = lines.into_iter().map(|(sign, text)| format!("{sign} {text}"));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_the_server_writes_is_no_change() {
        let before = json!({"metadata": {"name": "a", "uid": "1", "resourceVersion": "5", "managedFields": []}, "status": {"x": 1}});
        let after = json!({"metadata": {"name": "a", "uid": "1", "resourceVersion": "9", "generation": 2}});
        assert_eq!(changes(&before, &after), Vec::new());
    }

    #[test]
    fn entries_of_lists_are_found_by_their_names() {
        let pod = |image: &str, more: Value| {
            let containers = json!([{"name": "side", "image": "s:1"}, {"name": "api", "image": image, "args": more}]);
            json!({"kind": "Pod", "spec": {"containers": containers}, "metadata": {"annotations": {"a.b/c": image}}})
        };
        let mut after = pod("a:2", json!(["x", "y"]));
        after["spec"]["containers"].as_array_mut().into_iter().for_each(|list| list.swap(0, 1));
        insta::assert_snapshot!(shown(&pod("a:1", json!(["x"])), &after), @r#"
        - spec.containers[name=api].image: a:1
        + spec.containers[name=api].image: a:2
        - spec.containers[name=api].args: ["x"]
        + spec.containers[name=api].args: ["x","y"]
        - metadata.annotations["a.b/c"]: a:1
        + metadata.annotations["a.b/c"]: a:2
        "#);
    }

    #[test]
    fn of_a_long_text_only_the_lines_that_differ_are_shown() {
        let config = |text: &str| json!({"kind": "ConfigMap", "data": {"settings.ini": text, "gone": "x"}});
        let mut after = config("a = 1\nb = 3\nc = 3\n");
        after["data"]["gone"].take();
        after["data"].as_object_mut().and_then(|data| data.shift_remove("gone"));
        insta::assert_snapshot!(shown(&config("a = 1\nb = 2\nc = 3\n"), &after), @r#"
          data["settings.ini"]:
        -   b = 2
        +   b = 3
        - data.gone: x
        "#);
    }

    #[test]
    fn a_secret_tells_that_it_differs_and_nothing_more() {
        let secret = |password: &str| json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": {"password": password, "same": "c2FtZQ=="}});
        let text = shown(&secret("b2xk"), &secret("bmV3"));
        assert_eq!(text, "- data.password: •••\n+ data.password: •••");
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (0..5i32).prop_map(Value::from),
            "[a-c]{0,3}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-d]|name", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn equal_states_have_no_changes_and_different_ones_have_some(a in value(), b in value()) {
            let object = |spec: &Value| json!({"kind": "X", "spec": spec});
            prop_assert_eq!(changes(&object(&a), &object(&a)), Vec::new());
            // A list-map whose entries only changed places is the same.
            if changes(&object(&a), &object(&b)).is_empty() {
                prop_assert_eq!(changes(&object(&b), &object(&a)), Vec::new());
            }
        }
    }
}
