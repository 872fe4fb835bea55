//! One Kubernetes object with the place in the kit that it came from.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where in the kit something was written: a path relative to the kit's root and a 1-based line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// Path relative to the kit's root, with `/` separators, e.g. `templates/services/api.yaml.tera`.
    pub file: String,
    /// Line of the document's first content, from 1; 0 when unknown.
    pub line: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { f.write_str(&self.file) } else { write!(f, "{}:{}", self.file, self.line) }
    }
}

/// Identity of an object in a cluster. The version is left out on purpose: two versions of a kind name one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectKey {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind, e.g. `Deployment`.
    pub kind: String,
    /// Namespace; `None` for cluster-scoped objects.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
}

impl ObjectKey {
    /// The namespace of this name.
    pub fn of_namespace(name: impl Into<String>) -> Self {
        Self { group: String::new(), kind: "Namespace".into(), namespace: None, name: name.into() }
    }
}

impl fmt::Display for ObjectKey {
    /// `Kind/name`: what messages use. The namespace is added by those who need it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// A Kubernetes object as rendered from the kit. Its body is an object (JSON map) with `apiVersion`, `kind` and
/// `metadata.name`, which [`Object::new`] has checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    body: Value,
    /// Where in the kit it was written.
    pub origin: Origin,
}

impl Object {
    /// Wraps a body.
    ///
    /// # Errors
    /// Returns what is missing, as a fragment such as `has no kind`, when the body is not a Kubernetes object.
    pub fn new(body: Value, origin: Origin) -> Result<Self, String> {
        if !body.is_object() {
            return Err("is not a mapping".into());
        }
        for pointer in ["/apiVersion", "/kind", "/metadata/name"] {
            match body.pointer(pointer) {
                Some(Value::String(text)) if !text.is_empty() => {}
                Some(Value::String(_)) => return Err(format!("has an empty {}", pointer[1..].replace('/', "."))),
                Some(_) => return Err(format!("has no text as its {}", pointer[1..].replace('/', "."))),
                None => return Err(format!("has no {}", pointer[1..].replace('/', "."))),
            }
        }
        Ok(Self { body, origin })
    }

    fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The whole object.
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// The whole object, to change. `apiVersion`, `kind` and `metadata.name` must stay.
    pub fn body_mut(&mut self) -> &mut Value {
        &mut self.body
    }

    /// `apiVersion`, e.g. `apps/v1`.
    pub fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    /// API group; empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version().split_once('/').map_or("", |(group, _)| group)
    }

    /// API version without the group, e.g. `v1`.
    pub fn version(&self) -> &str {
        self.api_version().rsplit('/').next().unwrap_or_default()
    }

    /// `kind`.
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// `metadata.namespace`, if set and not empty.
    pub fn namespace(&self) -> Option<&str> {
        self.body.pointer("/metadata/namespace").and_then(Value::as_str).filter(|name| !name.is_empty())
    }

    /// Sets or, with `None`, removes `metadata.namespace`.
    pub fn set_namespace(&mut self, namespace: Option<&str>) {
        if let Some(metadata) = self.body.get_mut("metadata").and_then(Value::as_object_mut) {
            match namespace {
                Some(namespace) => metadata.insert("namespace".into(), namespace.into()),
                None => metadata.shift_remove("namespace"),
            };
        }
    }

    /// An annotation's value.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.body.get("metadata")?.get("annotations")?.get(name)?.as_str()
    }

    /// Its identity.
    pub fn key(&self) -> ObjectKey {
        ObjectKey {
            group: self.group().to_owned(),
            kind: self.kind().to_owned(),
            namespace: self.namespace().map(str::to_owned),
            name: self.name().to_owned(),
        }
    }
}
