//! Requests: what a path and a query of the Kubernetes API mean.

use serde_json::Value;

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// API group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Namespace, where one is named.
    pub namespace: Option<String>,
    /// The kind's name in paths.
    pub resource: String,
    /// Name, for a single object.
    pub name: Option<String>,
    /// A part of it, such as `status`.
    pub part: Option<String>,
}

/// Reads a path below `/api` or `/apis` that leads to objects.
pub fn target(path: &str) -> Option<Target> {
    let words: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, version, rest) = match words.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        // `/namespaces/NAME` and its parts are about the namespace itself.
        ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => (None, rest),
        ["namespaces", namespace, rest @ ..] => (Some((*namespace).to_owned()), rest),
        rest => (None, rest),
    };
    let (resource, name, part) = match rest {
        [resource] => (resource, None, None),
        [resource, name] => (resource, Some(name), None),
        [resource, name, part] => (resource, Some(name), Some(part)),
        _ => return None,
    };
    let owned = |text: Option<&&str>| text.map(|text| (*text).to_owned());
    Some(Target {
        group: group.into(),
        version: version.into(),
        namespace,
        resource: (*resource).to_owned(),
        name: owned(name),
        part: owned(part),
    })
}

/// The query of a request.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads it. The client library's queries may begin with `&`.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self(pairs.collect())
    }

    /// A value; `None` when it is not there or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether it is `true`.
    pub fn is_true(&self, name: &str) -> bool {
        matches!(self.get(name), Some("true" | "1"))
    }
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = || u8::from_str_radix(text.get(at + 1..at + 3)?, 16).ok();
        match byte {
            b'+' => out.push(b' '),
            b'%' => match hex() {
                Some(decoded) => {
                    out.push(decoded);
                    at += 2;
                }
                None => out.push(b'%'),
            },
            byte => out.push(*byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Selects objects by their labels and fields.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    labels: Vec<Wish>,
    fields: Vec<(String, String, bool)>,
}

#[derive(Clone, Debug)]
enum Wish {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

impl Selector {
    /// Reads `labelSelector` and `fieldSelector`.
    pub fn of(query: &Query) -> Self {
        let labels = query.get("labelSelector").map(label_wishes).unwrap_or_default();
        let fields = query.get("fieldSelector").into_iter().flat_map(|text| text.split(','));
        let fields = fields.filter_map(|wish| {
            let (name, value, wanted) = match wish.split_once("!=") {
                Some((name, value)) => (name, value, false),
                None => wish.split_once("==").or_else(|| wish.split_once('=')).map(|(n, v)| (n, v, true))?,
            };
            Some((name.trim().to_owned(), value.trim().to_owned(), wanted))
        });
        Self { labels, fields: fields.collect() }
    }

    /// Whether it selects an object.
    pub fn fits(&self, object: &Value) -> bool {
        let labels = object.get("metadata").and_then(|metadata| metadata.get("labels"));
        let label = |name: &str| labels.and_then(|labels| labels.get(name)).and_then(Value::as_str);
        let by_labels = self.labels.iter().all(|wish| match wish {
            Wish::In(name, values) => label(name).is_some_and(|value| values.iter().any(|wanted| wanted == value)),
            Wish::NotIn(name, values) => !label(name).is_some_and(|value| values.iter().any(|wanted| wanted == value)),
            Wish::Exists(name) => label(name).is_some(),
            Wish::Missing(name) => label(name).is_none(),
        });
        by_labels
            && self.fields.iter().all(|(name, wanted, equal)| {
                let found = object.pointer(&format!("/{}", name.replace('.', "/"))).and_then(Value::as_str);
                (found.unwrap_or_default() == wanted) == *equal
            })
    }
}

fn label_wishes(text: &str) -> Vec<Wish> {
    let mut wishes = Vec::new();
    let mut depth = 0;
    let parts = text.split(|letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        letter == ',' && depth == 0
    });
    for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
        let values = |list: &str| {
            list.trim().trim_matches(['(', ')']).split(',').map(|value| value.trim().to_owned()).collect::<Vec<_>>()
        };
        let name = |name: &str| name.trim().to_owned();
        wishes.push(if let Some((key, list)) = part.split_once(" notin ") {
            Wish::NotIn(name(key), values(list))
        } else if let Some((key, list)) = part.split_once(" in ") {
            Wish::In(name(key), values(list))
        } else if let Some((key, value)) = part.split_once("!=") {
            Wish::NotIn(name(key), vec![name(value)])
        } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            Wish::In(name(key), vec![name(value)])
        } else if let Some(key) = part.strip_prefix('!') {
            Wish::Missing(name(key))
        } else {
            Wish::Exists(name(part))
        });
    }
    wishes
}

/// Whether labels are those that a `selector` of an object names (`matchLabels` and `matchExpressions`, or a plain map).
pub fn selects(selector: &Value, object: &Value) -> bool {
    let labels = object.get("metadata").and_then(|metadata| metadata.get("labels"));
    let label = |name: &str| labels.and_then(|labels| labels.get(name)).and_then(Value::as_str);
    let structured = selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some();
    let plain = if structured { selector.get("matchLabels") } else { Some(selector) };
    let plain = plain.and_then(Value::as_object).into_iter().flatten();
    let mut expressions = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
    plain.into_iter().all(|(name, value)| label(name) == value.as_str())
        && expressions.all(|wish| {
            let text = |name: &str| wish.get(name).and_then(Value::as_str).unwrap_or_default();
            let has = |value: &str| {
                wish.get("values").and_then(Value::as_array).is_some_and(|list| list.iter().any(|it| it == value))
            };
            match (text("operator"), label(text("key"))) {
                ("In", value) => value.is_some_and(has),
                ("NotIn", value) => !value.is_some_and(has),
                ("Exists", value) => value.is_some(),
                (_, value) => value.is_none(),
            }
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_name_objects() {
        let found = target("/apis/apps/v1/namespaces/a/deployments/x/status").unwrap();
        let words = (found.group.as_str(), found.resource.as_str(), found.name.as_deref(), found.part.as_deref());
        assert_eq!(words, ("apps", "deployments", Some("x"), Some("status")));
        let found = target("/api/v1/namespaces/a").unwrap();
        assert_eq!((found.resource.as_str(), found.namespace, found.name.as_deref()), ("namespaces", None, Some("a")));
        let found = target("/api/v1/namespaces/a/pods").unwrap();
        assert_eq!((found.resource.as_str(), found.namespace.as_deref(), found.name), ("pods", Some("a"), None));
        assert_eq!(target("/version"), None);
    }

    #[test]
    fn selectors_select() {
        let object = json!({"metadata": {"name": "x", "labels": {"a": "1", "b": "2"}}});
        for (text, fits) in [
            ("a=1,!c", true),
            ("a in (1,3),b", true),
            ("a notin (1,3)", false),
            ("c!=1", true),
            ("a==2", false),
            ("", true),
        ] {
            let query = Query::parse(&format!("&labelSelector={}&x=%2Fy", text.replace('=', "%3D")));
            assert_eq!(Selector::of(&query).fits(&object), fits, "{text}");
        }
        assert!(!Selector::of(&Query::parse("fieldSelector=metadata.name%3Dy")).fits(&object));
        assert!(selects(&json!({"matchLabels": {"a": "1"}}), &object) && !selects(&json!({"a": "2"}), &object));
    }
}
