//! The kinds and types of Kubernetes as `cargo xtask record-schemas` has recorded them from a real API server, and those of
//! CustomResourceDefinitions.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use serde_json::{Map, Value};

/// The record, compiled in.
const RECORD: &[u8] = include_bytes!("kubernetes.json.gz");

/// A type of a field.
#[derive(Clone, Debug)]
pub enum Type {
    /// A value without parts.
    Scalar(Scalar),
    /// Anything, of which the schema knows nothing; `atomic`: server-side apply takes it as one.
    Any {
        /// Whether it has one owner.
        atomic: bool,
    },
    /// A type of the record by its place there; `atomic`: in this place it has one owner.
    Named {
        /// Its place.
        at: usize,
        /// Whether it has one owner here.
        atomic: bool,
        /// Whether it is there even when it is empty.
        always: bool,
    },
    /// An object of known fields.
    Struct(Box<Struct>),
    /// An object of any keys.
    Map {
        /// Type of the values.
        element: Box<Type>,
        /// Whether it has one owner.
        atomic: bool,
    },
    /// A list.
    List {
        /// Type of the items.
        element: Box<Type>,
        /// What tells items apart.
        keys: Keys,
    },
}

/// A value without parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// Text.
    String,
    /// Text in base64.
    Bytes,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// An amount such as `1500m`; as text or as a number.
    Quantity,
    /// A whole number or a text.
    Either,
}

/// An object of known fields.
#[derive(Clone, Debug, Default)]
pub struct Struct {
    /// Fields by name.
    pub fields: HashMap<String, Type>,
    /// Values of fields that are left out; only those that the schema gives.
    pub defaults: Map<String, Value>,
    /// Whether it has one owner.
    pub atomic: bool,
    /// Whether other fields are dropped (definitions) or an error (built-in kinds).
    pub drops_unknown: bool,
}

/// What tells the items of a list apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Nothing: the list has one owner.
    Atomic,
    /// Their own value.
    Set,
    /// These fields.
    Map(Vec<String>),
}

/// A kind that is served.
#[derive(Clone, Debug)]
pub struct Kind {
    /// API group, empty for the core.
    pub group: String,
    /// Version.
    pub version: String,
    /// Its name.
    pub kind: String,
    /// Its name in paths.
    pub resource: String,
    /// In the singular.
    pub singular: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What can be done with it.
    pub verbs: Vec<String>,
    /// Short names.
    pub short: Vec<String>,
    /// Categories, such as `all`.
    pub categories: Vec<String>,
    /// Parts with a path of their own, such as `status`.
    pub parts: Vec<String>,
    /// Its type.
    pub root: Type,
    /// Whether a CustomResourceDefinition has made it.
    pub custom: bool,
}

impl Kind {
    /// `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `deployments.apps`, as messages name it.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }

    /// Whether its status can only be written through a path of its own.
    pub fn has_status(&self) -> bool {
        self.parts.iter().any(|part| part == "status")
    }
}

/// The record.
#[derive(Debug)]
pub struct Record {
    /// Version of the server that was recorded, e.g. `v1.34.4`.
    pub kubernetes: String,
    /// Its kinds.
    pub kinds: Vec<Arc<Kind>>,
    types: Vec<Type>,
    object_meta: usize,
}

#[derive(Deserialize)]
struct Written {
    kubernetes: String,
    kinds: Vec<WrittenKind>,
    types: Map<String, Value>,
}

#[derive(Deserialize)]
struct WrittenKind {
    group: String,
    version: String,
    kind: String,
    resource: String,
    singular: String,
    namespaced: bool,
    verbs: Vec<String>,
    short: Option<Vec<String>>,
    categories: Option<Vec<String>>,
    parts: Vec<String>,
    #[serde(rename = "type")]
    root: String,
}

/// The record, read when it is first asked for.
///
/// # Panics
/// Never: the record is part of the program, and a test reads it.
#[expect(clippy::expect_used, reason = "the record is part of the program, and a test reads it")]
pub fn record() -> &'static Record {
    static RECORD_READ: OnceLock<Record> = OnceLock::new();
    RECORD_READ.get_or_init(|| read(RECORD).expect("the compiled-in record can be read"))
}

fn read(packed: &[u8]) -> Result<Record, Box<dyn std::error::Error>> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text)?;
    let written: Written = serde_json::from_str(&text)?;
    let places: HashMap<&str, usize> = written.types.keys().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
    let types = written.types.values().map(|node| read_type(node, &places)).collect();
    let kinds = written.kinds.into_iter().map(|kind| {
        Arc::new(Kind {
            root: Type::Named {
                at: places.get(kind.root.as_str()).copied().unwrap_or_default(),
                atomic: false,
                always: true,
            },
            group: kind.group,
            version: kind.version,
            kind: kind.kind,
            resource: kind.resource,
            singular: kind.singular,
            namespaced: kind.namespaced,
            verbs: kind.verbs,
            short: kind.short.unwrap_or_default(),
            categories: kind.categories.unwrap_or_default(),
            parts: kind.parts,
            custom: false,
        })
    });
    let kinds = kinds.collect();
    let object_meta = places.get("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").copied().unwrap_or_default();
    Ok(Record { kubernetes: written.kubernetes, kinds, types, object_meta })
}

fn read_type(node: &Value, places: &HashMap<&str, usize>) -> Type {
    let atomic = node.get("atomic").and_then(Value::as_bool).unwrap_or_default();
    if let Some(word) = node.as_str().or_else(|| node.get("type")?.as_str()) {
        if let Some(at) = word.strip_prefix(['@', '=']).and_then(|name| places.get(name)) {
            return Type::Named { at: *at, atomic, always: word.starts_with('=') };
        }
        return match word {
            "string" => Type::Scalar(Scalar::String),
            "bytes" => Type::Scalar(Scalar::Bytes),
            "integer" => Type::Scalar(Scalar::Integer),
            "number" => Type::Scalar(Scalar::Number),
            "boolean" => Type::Scalar(Scalar::Boolean),
            "quantity" => Type::Scalar(Scalar::Quantity),
            "either" => Type::Scalar(Scalar::Either),
            _ => Type::Any { atomic: true },
        };
    }
    if let Some(element) = node.get("list") {
        let keys = match node.get("keys").and_then(Value::as_array) {
            None => Keys::Atomic,
            Some(keys) if keys.is_empty() => Keys::Set,
            Some(keys) => Keys::Map(keys.iter().filter_map(|key| key.as_str().map(str::to_owned)).collect()),
        };
        return Type::List { element: Box::new(read_type(element, places)), keys };
    }
    if let Some(element) = node.get("map") {
        return Type::Map { element: Box::new(read_type(element, places)), atomic };
    }
    let fields = node.get("fields").and_then(Value::as_object).into_iter().flatten();
    Type::Struct(Box::new(Struct {
        fields: fields.map(|(name, node)| (name.clone(), read_type(node, places))).collect(),
        defaults: node.get("defaults").and_then(Value::as_object).cloned().unwrap_or_default(),
        atomic,
        drops_unknown: false,
    }))
}

impl Type {
    /// The type behind a name, and whether it has one owner in this place.
    pub fn resolve(&self) -> (&Self, bool) {
        match self {
            Self::Named { at, atomic, .. } => {
                let found = record().types.get(*at).map_or(self, |found| found);
                // Types of the record never are mere names of others.
                let (found, inner) = if matches!(found, Self::Named { .. }) { (&ANY, true) } else { found.resolve() };
                (found, *atomic || inner)
            }
            Self::Any { atomic } | Self::Map { atomic, .. } => (self, *atomic),
            Self::Struct(inner) => (self, inner.atomic),
            Self::List { keys, .. } => (self, *keys == Keys::Atomic),
            Self::Scalar(_) => (self, true),
        }
    }

    /// The type of a field or of a map's value; `None` when there is no such field.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match self.resolve().0 {
            Self::Struct(inner) => inner.fields.get(name),
            Self::Map { element, .. } => Some(element),
            Self::Any { .. } => Some(&ANY),
            _ => None,
        }
    }
}

/// What is not described: taken apart as far as it is made of objects.
pub static ANY: Type = Type::Any { atomic: false };

/// The kinds that a CustomResourceDefinition makes, one for each served version.
pub fn kinds_of(definition: &Value) -> Vec<Kind> {
    let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let texts = |pointer: &str| {
        let list = definition.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|it| it.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
    let served = versions.filter(|version| version.get("served").and_then(Value::as_bool) == Some(true));
    served
        .map(|version| {
            let parts = ["status", "scale"].into_iter();
            let parts = parts.filter(|part| version.pointer(&format!("/subresources/{part}")).is_some());
            let kind = text("/spec/names/kind");
            let singular = text("/spec/names/singular");
            Kind {
                group: text("/spec/group"),
                version: version.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
                resource: text("/spec/names/plural"),
                singular: if singular.is_empty() { kind.to_lowercase() } else { singular },
                kind,
                namespaced: text("/spec/scope") == "Namespaced",
                verbs: ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]
                    .map(str::to_owned)
                    .to_vec(),
                short: texts("/spec/names/shortNames"),
                categories: texts("/spec/names/categories"),
                parts: parts.map(str::to_owned).collect(),
                root: custom_root(version.pointer("/schema/openAPIV3Schema").unwrap_or(&Value::Null)),
                custom: true,
            }
        })
        .collect()
}

fn custom_root(schema: &Value) -> Type {
    let mut root = match custom_type(schema) {
        Type::Struct(inner) => inner,
        _ => return ANY.clone(),
    };
    root.fields.insert("apiVersion".into(), Type::Scalar(Scalar::String));
    root.fields.insert("kind".into(), Type::Scalar(Scalar::String));
    root.fields.insert("metadata".into(), Type::Named { at: record().object_meta, atomic: false, always: true });
    Type::Struct(root)
}

fn custom_type(schema: &Value) -> Type {
    let flag = |name: &str| schema.get(name).and_then(Value::as_bool) == Some(true);
    if flag("x-kubernetes-int-or-string") {
        return Type::Scalar(Scalar::Either);
    }
    let atomic = schema.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic");
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => Type::Scalar(Scalar::String),
        Some("integer") => Type::Scalar(Scalar::Integer),
        Some("number") => Type::Scalar(Scalar::Number),
        Some("boolean") => Type::Scalar(Scalar::Boolean),
        Some("array") => {
            let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array).into_iter().flatten();
            let keys = keys.filter_map(|key| key.as_str().map(str::to_owned)).collect();
            let keys = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
                Some("map") => Keys::Map(keys),
                Some("set") => Keys::Set,
                _ => Keys::Atomic,
            };
            let element = Box::new(schema.get("items").map_or_else(|| ANY.clone(), custom_type));
            Type::List { element, keys }
        }
        Some("object") if flag("x-kubernetes-preserve-unknown-fields") => Type::Any { atomic },
        Some("object") => match schema.get("additionalProperties") {
            Some(element @ Value::Object(_)) => Type::Map { element: Box::new(custom_type(element)), atomic },
            Some(Value::Bool(true)) => Type::Any { atomic },
            _ => {
                let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
                let fields = properties.clone().map(|(name, schema)| (name.clone(), custom_type(schema))).collect();
                let defaults = properties
                    .filter_map(|(name, schema)| Some((name.clone(), schema.get("default")?.clone())))
                    .collect();
                Type::Struct(Box::new(Struct { fields, defaults, atomic, drops_unknown: true }))
            }
        },
        _ => Type::Any { atomic },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::manifest::references::is_builtin_group;

    #[test]
    fn every_recorded_kind_is_one_of_kubernetes_itself() {
        let others: Vec<String> =
            record().kinds.iter().filter(|kind| !is_builtin_group(&kind.group)).map(|kind| kind.qualified()).collect();
        assert!(others.is_empty(), "{others:?}");
    }

    #[test]
    fn the_record_can_be_read_and_knows_what_apply_needs() {
        let record = read(RECORD).unwrap();
        assert!(record.kubernetes.starts_with("v1.") && record.kinds.len() > 50);
        let deployment = record.kinds.iter().find(|kind| kind.kind == "Deployment").unwrap();
        assert_eq!((deployment.api_version().as_str(), deployment.has_status()), ("apps/v1", true));
        let containers = ["spec", "template", "spec", "containers"];
        let found = containers.iter().fold(&deployment.root, |of, name| of.field(name).unwrap());
        let (Type::List { element, keys }, false) = found.resolve() else { panic!("{found:?}") };
        assert_eq!(*keys, Keys::Map(vec!["name".into()]));
        let (Type::List { element, keys }, _) = element.field("ports").unwrap().resolve() else { panic!() };
        assert_eq!(*keys, Keys::Map(vec!["containerPort".into(), "protocol".into()]));
        let Type::Struct(port) = element.resolve().0 else { panic!() };
        assert_eq!(port.defaults.get("protocol").unwrap(), "TCP");
    }
}
