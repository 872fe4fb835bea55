//! What a template sees: the variables, and where each of them is written, for messages.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Environment;
use crate::manifest::Origin;
use crate::manifest::mistake::nearest;

/// The variables of every template.
pub struct Scope {
    /// `environment`, `instance`, `namespace`, `values`, `data`.
    pub variables: Map<String, Value>,
    provenance: BTreeMap<String, Origin>,
}

impl Scope {
    /// Of an environment.
    pub fn new(environment: &Environment) -> Self {
        let mut variables = Map::new();
        variables.insert("environment".into(), environment.name.clone().into());
        variables.insert("instance".into(), environment.instance.clone().unwrap_or_default().into());
        variables.insert("namespace".into(), environment.namespace.clone().into());
        variables.insert("values".into(), environment.values.clone());
        variables.insert("data".into(), Value::Object(Map::new()));
        Self { variables, provenance: environment.provenance.clone() }
    }

    /// As Tera wants it.
    pub fn to_tera(&self) -> tera::Context {
        let mut context = tera::Context::new();
        for (name, value) in &self.variables {
            context.insert(name.clone(), value);
        }
        context
    }

    /// How many segments of a name lead somewhere: all of them when it is defined. Only for names whose first segment is a
    /// variable of this scope.
    pub fn defined(&self, segments: &[String]) -> usize {
        let mut at: Option<&Value> = None;
        for (depth, segment) in segments.iter().enumerate() {
            let next = match (depth, at) {
                (0, _) => self.variables.get(segment),
                (_, Some(Value::Object(map))) => map.get(segment),
                (_, Some(Value::Array(list))) => segment.parse::<usize>().ok().and_then(|index| list.get(index)),
                _ => None,
            };
            match next {
                Some(value) => at = Some(value),
                None => return depth,
            }
        }
        segments.len()
    }

    /// A suggestion for a name of which only the first `defined` segments lead somewhere: the nearest name beside the
    /// missing one, or one with the same last segment elsewhere, with the place where it is written.
    pub fn suggestion(&self, segments: &[String], defined: usize) -> Option<String> {
        let missing = segments.get(defined)?;
        let parent = &segments[..defined];
        let known: Vec<&str> = if parent.is_empty() {
            self.variables.keys().map(String::as_str).collect()
        } else {
            let at = parent.iter().try_fold(None, |at: Option<&Value>, segment| match at {
                None => self.variables.get(segment).map(Some),
                Some(value) => value.get(segment).map(Some),
            });
            match at.flatten() {
                Some(Value::Object(map)) => map.keys().map(String::as_str).collect(),
                Some(_) => {
                    return Some(format!("{} is not a mapping{}", parent.join("."), self.written(&parent.join("."))));
                }
                None => Vec::new(),
            }
        };
        if let Some(name) = nearest(missing, known.iter().copied()) {
            let full = parent.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".");
            return Some(format!("did you mean {full}{}?", self.written(&full)));
        }
        let last = segments.last()?;
        let elsewhere = self
            .provenance
            .keys()
            .find(|path| path.starts_with("values.") && path.rsplit('.').next() == Some(last.as_str()));
        if let Some(path) = elsewhere {
            return Some(format!("did you mean {path}{}?", self.written(path)));
        }
        super::did_you_mean(missing, known)
    }

    fn written(&self, path: &str) -> String {
        self.provenance.get(path).map(|origin| format!(" ({origin})")).unwrap_or_default()
    }
}
