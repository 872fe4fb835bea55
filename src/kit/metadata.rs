//! What is wrong with an object's `metadata`, by the rules of the API server's own validation.

use serde_json::Value;

use super::layer::check_label;
use crate::manifest::Object;
use crate::manifest::mistake::describe;

/// One fault, at a path of the document.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// Code of the mistake.
    pub code: &'static str,
    /// Where in the document.
    pub path: Vec<String>,
    /// Whether the key is what is wrong, and not its value.
    pub key: bool,
    /// A fragment that names the field.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// Fields that only the cluster writes and whose presence makes it refuse an apply.
const WRITTEN_BY_CLUSTER: [&str; 4] = ["managedFields", "resourceVersion", "uid", "deletionTimestamp"];
/// Longest name part of a label or annotation, and longest value of a label.
const LONGEST: usize = 63;

/// Everything that is wrong with an object's metadata, its name apart.
pub fn faults(object: &Object) -> Vec<Fault> {
    let mut faults = Vec::new();
    let Some(metadata) = object.body().get("metadata").and_then(Value::as_object) else { return faults };
    let fault = |code, path: &[&str], key, message: String, hint: Option<&str>| Fault {
        code,
        path: path.iter().map(|segment| (*segment).to_owned()).collect(),
        key,
        message,
        hint: hint.map(str::to_owned),
    };
    for field in WRITTEN_BY_CLUSTER.iter().filter(|field| metadata.get(**field).is_some_and(|value| !value.is_null())) {
        let message = format!("metadata.{field} is written by the cluster, for one object in one cluster");
        faults.push(fault("cluster-field", &["metadata", field], true, message, Some("take it out")));
    }
    match metadata.get("namespace") {
        None | Some(Value::Null) => {}
        Some(Value::String(name)) if name.is_empty() => {}
        Some(Value::String(name)) => {
            if let Err(message) = check_label(name) {
                faults.push(fault(
                    "name",
                    &["metadata", "namespace"],
                    false,
                    format!("the namespace {name} {message}"),
                    None,
                ));
            }
        }
        Some(other) => {
            let message = format!("metadata.namespace is {}, it must be a text", describe(other));
            faults.push(fault("type", &["metadata", "namespace"], false, message, Some("write it in quotes")));
        }
    }
    for field in ["annotations", "labels"] {
        let entries = match metadata.get(field) {
            None | Some(Value::Null) => continue,
            Some(Value::Object(entries)) => entries,
            Some(other) => {
                let message = format!("metadata.{field} is {}, it must be a mapping of texts", describe(other));
                faults.push(fault("type", &["metadata", field], false, message, None));
                continue;
            }
        };
        for (name, value) in entries {
            let path = ["metadata", field, name];
            if let Err(message) = check_key(name) {
                faults.push(fault("name", &path, true, format!("metadata.{field}: the key {name} {message}"), None));
            }
            match value {
                Value::String(text) if field == "labels" => {
                    // The value may be a secret, which a label must not be; it is not repeated.
                    if let Err(message) =
                        check_name(text).or_else(|message| if text.is_empty() { Ok(()) } else { Err(message) })
                    {
                        faults.push(fault(
                            "value",
                            &path,
                            false,
                            format!("the value of metadata.labels.{name} {message}"),
                            None,
                        ));
                    }
                }
                Value::String(_) => {}
                other => {
                    let hint = format!("write it in quotes: \"{}\"", other.to_string().trim_matches('"'));
                    let message = format!("metadata.{field}.{name} is not a text");
                    faults.push(fault("type", &path, false, message, Some(hint.as_str())));
                }
            }
        }
    }
    faults
}

/// Whether a text can be the key of a label or annotation: `name` or `domain/name`.
fn check_key(key: &str) -> Result<(), String> {
    let (domain, name) = key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    if domain.is_some_and(|domain| domain.is_empty() || domain.len() > 253 || !domain.bytes().all(letter)) {
        return Err("has no domain such as example.org before its /".into());
    }
    check_name(name)
}

/// Whether a text can be the name in a key, or the value of a label.
fn check_name(text: &str) -> Result<(), String> {
    if text.len() > LONGEST {
        return Err(format!("is {} characters long, {LONGEST} are allowed", text.len()));
    }
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let inside = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
    if inside && ends(bytes.first()) && ends(bytes.last()) {
        Ok(())
    } else {
        Err("may hold only letters, digits, -, _ and ., and begins and ends with a letter or digit".into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::manifest::Origin;

    fn told(metadata: Value) -> Vec<String> {
        let mut body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
        body["metadata"].as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
        let object = Object::new(body, Origin::default()).unwrap();
        faults(&object).into_iter().map(|fault| format!("{}: {}", fault.path.join(" "), fault.message)).collect()
    }

    #[test]
    fn what_the_api_server_takes_is_no_fault() {
        let good = json!({
            "namespace": "n", "labels": {"app.kubernetes.io/name": "A_b.c", "empty": "", "x": "1"},
            "annotations": {"a": "any text\nat all", "Example.org/B": ""}, "creationTimestamp": null, "uid": null,
        });
        assert_eq!(told(good), Vec::<String>::new());
        assert_eq!(told(json!({"namespace": "", "labels": null, "annotations": {}})), Vec::<String>::new());
    }

    #[test]
    fn a_dump_of_a_live_object_is_told() {
        let dump =
            json!({"uid": "1", "resourceVersion": "2", "managedFields": [], "generation": 3, "creationTimestamp": "x"});
        assert_eq!(told(dump).len(), 3);
    }

    #[test]
    fn wrong_types_and_names_are_told_and_values_of_labels_never_shown() {
        let long = "x".repeat(64);
        let wrong = told(json!({
            "namespace": 5, "annotations": 7, "labels": {"bad key": "ok", "/x": "", "a/b/c": "", "ok": "s3cret value", "n": 1, "l": long},
        }));
        assert_eq!(wrong.len(), 8, "{wrong:#?}");
        assert!(!wrong.join("\n").contains("s3cret"), "{wrong:#?}");
        assert_eq!(told(json!({"namespace": "Bad_NS", "labels": ["a"]})).len(), 2);
    }
}
