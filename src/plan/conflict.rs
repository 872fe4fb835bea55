//! A field that another manager holds: what is there, what the kit says, and who holds it. Pure.

use std::fmt;

use serde_json::Value;

use crate::manifest::Object;

/// Longest value that is shown, in characters.
const LONG: usize = 60;

/// A field that another manager holds and the kit wants differently.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conflict {
    /// The field as the API server writes it, without the dot in front.
    pub field: String,
    /// Who holds it.
    pub manager: String,
    /// What is there; `None` when it is not known or not to be shown.
    pub theirs: Option<String>,
    /// What the kit says; `None` when it is not to be shown.
    pub ours: Option<String>,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, manager, theirs, ours } = self;
        write!(f, "{field} is held by {manager}")?;
        match (theirs, ours) {
            (Some(theirs), Some(ours)) => write!(f, " as {theirs}, the kit says {ours}"),
            (None, Some(ours)) => write!(f, ", the kit says {ours}"),
            _ => f.write_str(", and differs"),
        }
    }
}

impl Conflict {
    /// From a cause of the API server's answer: the field, and a text such as `conflict with "kubectl" with subresource "scale"
    /// using apps/v1`.
    pub fn of(field: &str, message: &str) -> Self {
        let mut quoted = message.split('"').skip(1).step_by(2);
        let manager = quoted.next().unwrap_or("another manager").to_owned();
        let manager = match quoted.next().filter(|_| message.contains("with subresource")) {
            Some(subresource) => format!("{manager} (by {subresource})"),
            None => manager,
        };
        Self { field: field.trim_start_matches('.').to_owned(), manager, theirs: None, ours: None }
    }

    /// Fills in both values, unless they may be secret: those of Secrets, and of environment variables, where a value that
    /// somebody else has set is nothing that the redaction could know.
    #[must_use]
    pub fn with_values(self, object: &Object, live: Option<&Value>) -> Self {
        let is_secret = object.group().is_empty() && object.kind() == "Secret";
        let secret = is_secret && ["data", "stringData"].iter().any(|part| self.field.starts_with(part));
        if secret || self.field.contains(".env[") || self.field.contains("last-applied-configuration") {
            return self;
        }
        let shown = |body: &Value| lookup(body, &self.field).map(short);
        Self { theirs: live.and_then(shown), ours: shown(object.body()), ..self }
    }
}

fn short(value: &Value) -> String {
    let text = match value {
        Value::String(text) if !text.is_empty() && !text.contains(char::is_whitespace) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= LONG {
        return text;
    }
    text.chars().take(LONG - 1).chain(['…']).collect()
}

/// What is at a path as the API server writes it: `spec.containers[name="a"].image`, `set[="x"]`, `list[0]`. Names in it may hold
/// dots, so the longest that fits is taken.
fn lookup<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let path = path.strip_prefix('.').unwrap_or(path);
    if path.is_empty() {
        return Some(value);
    }
    if let Some(inner) = path.strip_prefix('[') {
        let items = value.as_array()?;
        return items.iter().enumerate().find_map(|(at, item)| {
            let rest = after_brackets(inner, at, item)?;
            lookup(item, rest)
        });
    }
    let members = value.as_object()?;
    let mut fitting: Vec<(&Value, &str)> = members
        .iter()
        .filter_map(|(name, value)| Some((value, path.strip_prefix(name.as_str())?)))
        .filter(|(_, rest)| rest.is_empty() || rest.starts_with(['.', '[']))
        .collect();
    fitting.sort_by_key(|(_, rest)| rest.len());
    fitting.into_iter().find_map(|(value, rest)| lookup(value, rest))
}

/// What follows `…]` when the brackets mean this item.
fn after_brackets<'p>(inner: &'p str, at: usize, item: &Value) -> Option<&'p str> {
    if let Some(rest) = inner.strip_prefix('=') {
        return rest.strip_prefix(&item.to_string())?.strip_prefix(']');
    }
    if let Some(rest) = inner.strip_prefix(&format!("{at}]")) {
        return Some(rest);
    }
    let mut rest = inner;
    loop {
        let (key, after) = rest.split_once('=')?;
        rest = after.strip_prefix(&item.get(key)?.to_string())?;
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return rest.strip_prefix(']'),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::manifest::Origin;

    fn told(kind: &str, ours: &Value, theirs: &Value, field: &str) -> String {
        let mut body = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}});
        body.as_object_mut().unwrap().extend(ours.as_object().unwrap().clone());
        let object = Object::new(body, Origin::default()).unwrap();
        Conflict::of(field, "conflict with \"kubectl-edit\" using v1").with_values(&object, Some(theirs)).to_string()
    }

    #[test]
    fn a_conflict_tells_both_values() {
        let spec = |value: Value| json!({"spec": value});
        for (field, ours, theirs, words) in [
            (".spec.replicas", json!({"replicas": 2}), json!({"replicas": 5}), " as 5, the kit says 2"),
            (
                ".spec.containers[name=\"a\"].ports[containerPort=80,protocol=\"TCP\"].name",
                json!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "w"}]}]}),
                json!({"containers": [{"name": "b"}, {"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "x"}]}]}),
                " as x, the kit says w",
            ),
            (
                ".spec.a.b.c",
                json!({"a.b": {"c": true}}),
                json!({"a": {"z": 1}, "a.b": {"c": ""}}),
                " as \"\", the kit says true",
            ),
            (".spec.list[1]", json!({"list": [1, 2]}), json!({"list": [1, 3]}), " as 3, the kit says 2"),
            (".spec.gone", json!({"gone": "x y"}), json!({}), ", the kit says \"x y\""),
            (".spec.other", json!({}), json!({}), ", and differs"),
        ] {
            let expected = format!("{} is held by kubectl-edit{words}", &field[1..]);
            assert_eq!(told("Thing", &spec(ours), &spec(theirs), field), expected);
        }
        let long = json!({"data": {"a": "x".repeat(100)}});
        assert!(told("ConfigMap", &long, &long, ".data.a").contains(&format!("{}…", "x".repeat(59))));
    }

    #[test]
    fn values_that_may_be_secret_are_never_told() {
        let (ours, theirs) =
            (json!({"data": {"a": "b3Vycw=="}, "stringData": {"a": "ours"}}), json!({"data": {"a": "dGhlaXJz"}}));
        for field in [".data.a", ".stringData.a"] {
            assert_eq!(
                told("Secret", &ours, &theirs, field),
                format!("{} is held by kubectl-edit, and differs", &field[1..])
            );
        }
        let pod =
            |value: &str| json!({"spec": {"containers": [{"name": "a", "env": [{"name": "P", "value": value}]}]}});
        let field = ".spec.containers[name=\"a\"].env[name=\"P\"].value";
        assert!(told("Pod", &pod("ours"), &pod("theirs"), field).ends_with(", and differs"));
    }

    #[test]
    fn a_subresource_is_named() {
        let conflict =
            Conflict::of(".spec.replicas", "conflict with \"kubectl\" with subresource \"scale\" using apps/v1");
        assert_eq!((conflict.field.as_str(), conflict.manager.as_str()), ("spec.replicas", "kubectl (by scale)"));
    }
}
