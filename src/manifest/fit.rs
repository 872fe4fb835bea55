//! Whether an object fits its kind, by the schemas recorded from a real API server: what it would refuse under strict
//! validation, or in an apply. Pure; kinds that are not in the record fit.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::Object;
use super::mistake::{describe, nearest};
use super::schema::{Keys, Kind, Scalar, Struct, Type, record};

/// A field that does not fit. No value is repeated in it, since it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// `unknown-field`, `wrong-type` or `duplicate`.
    pub code: &'static str,
    /// Where in the document: names, and places in lists.
    pub path: Vec<String>,
    /// What is wrong, a sentence that names the field.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Misfit {
    /// Whether the key is what is wrong, and not its value.
    pub fn of_key(&self) -> bool {
        self.code == "unknown-field"
    }
}

/// The recorded kind of an object.
pub fn kind_of(object: &Object) -> Option<&'static Kind> {
    let version = object.api_version().rsplit('/').next().unwrap_or_default();
    let is = |kind: &Kind| kind.kind == object.kind() && kind.group == object.group() && kind.version == version;
    record().kinds.iter().map(AsRef::as_ref).find(|kind| is(kind))
}

/// Everything in an object that does not fit its kind.
pub fn misfits(object: &Object) -> Vec<Misfit> {
    let Some(kind) = kind_of(object) else { return Vec::new() };
    let mut walk = Walk { path: Vec::new(), found: Vec::new() };
    walk.value(&kind.root, object.body());
    walk.found
}

struct Walk {
    path: Vec<String>,
    found: Vec<Misfit>,
}

impl Walk {
    fn tell(&mut self, code: &'static str, message: String, hint: Option<String>) {
        self.found.push(Misfit { code, path: self.path.clone(), message, hint });
    }

    /// The path as people write it: `spec.containers[0].image`.
    fn place(&self) -> String {
        let mut place = String::new();
        for step in &self.path {
            match step.bytes().all(|byte| byte.is_ascii_digit()) {
                true => place.push_str(&format!("[{step}]")),
                false if place.is_empty() => place.push_str(step),
                false => place.push_str(&format!(".{step}")),
            }
        }
        place
    }

    fn below(&mut self, step: impl Into<String>, of: &Type, value: &Value) {
        self.path.push(step.into());
        self.value(of, value);
        self.path.pop();
    }

    fn value(&mut self, of: &Type, value: &Value) {
        // Nothing is what is left out.
        if value.is_null() {
            return;
        }
        match (of.resolve().0, value) {
            (Type::Scalar(scalar), value) => self.scalar(*scalar, value),
            (Type::Struct(inner), Value::Object(map)) => self.fields(inner, map),
            (Type::Map { element, .. }, Value::Object(map)) => {
                map.iter().for_each(|(name, value)| self.below(name, element, value));
            }
            (Type::List { element, keys }, Value::Array(items)) => {
                self.twice(element, keys, items);
                items.iter().enumerate().for_each(|(at, item)| self.below(at.to_string(), element, item));
            }
            (Type::Struct(_) | Type::Map { .. }, value) => self.wrong_type(value, "a mapping", None),
            (Type::List { .. }, value) => self.wrong_type(value, "a list", None),
            (Type::Any { .. } | Type::Named { .. }, _) => {}
        }
    }

    fn fields(&mut self, inner: &Struct, map: &Map<String, Value>) {
        for (name, value) in map {
            if let Some(field) = inner.fields.get(name) {
                self.below(name, field, value);
                continue;
            }
            self.path.push(name.clone());
            let known = nearest(name, inner.fields.keys().map(String::as_str));
            let hint = known.map(|known| format!("did you mean {known}?"));
            let message = format!("Kubernetes {} knows no {}", record().kubernetes, self.place());
            self.tell("unknown-field", message, hint);
            self.path.pop();
        }
    }

    fn scalar(&mut self, scalar: Scalar, value: &Value) {
        let whole = || value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0);
        let (fits, wanted) = match scalar {
            Scalar::String | Scalar::Bytes => (value.is_string(), "a text"),
            Scalar::Integer => (whole(), "a whole number"),
            Scalar::Number => (value.is_number(), "a number"),
            Scalar::Boolean => (value.is_boolean(), "true or false"),
            Scalar::Quantity => (value.is_string() || value.is_number(), "an amount"),
            Scalar::Either => (value.is_string() || whole(), "a whole number or a text"),
        };
        if fits {
            return;
        }
        let hint = match (scalar, value) {
            (Scalar::String | Scalar::Bytes, Value::Number(_) | Value::Bool(_)) => Some("write it in quotes"),
            (Scalar::Integer | Scalar::Number, Value::String(text)) if text.parse::<f64>().is_ok() => {
                Some("write it without quotes")
            }
            (Scalar::Boolean, Value::String(text)) if matches!(text.as_str(), "true" | "false") => {
                Some("write it without quotes")
            }
            _ => None,
        };
        self.wrong_type(value, wanted, hint);
    }

    fn wrong_type(&mut self, value: &Value, wanted: &str, hint: Option<&str>) {
        let message = format!("{} is {}, it must be {wanted}", self.place(), describe(value));
        self.tell("wrong-type", message, hint.map(str::to_owned));
    }

    /// An apply refuses a list in which one item stands twice, also where other writes would take it.
    fn twice(&mut self, element: &Type, keys: &Keys, items: &[Value]) {
        let defaults = match element.resolve().0 {
            Type::Struct(inner) => inner.defaults.clone(),
            _ => Map::new(),
        };
        let identity = |item: &Value| match keys {
            Keys::Atomic => None,
            Keys::Set => Some(item.to_string()),
            Keys::Map(keys) => {
                let value = |key: &String| item.get(key).or_else(|| defaults.get(key)).map(Value::to_string);
                keys.iter().map(value).collect::<Option<Vec<_>>>().map(|values| values.join(" "))
            }
        };
        let mut seen = HashSet::new();
        for (at, item) in items.iter().enumerate() {
            if identity(item).is_some_and(|identity| !seen.insert(identity)) {
                let by = match keys {
                    Keys::Map(keys) => format!(" (the same {})", keys.join(" and ")),
                    Keys::Set | Keys::Atomic => String::new(),
                };
                let message = format!("{}[{at}] stands there a second time{by}", self.place());
                self.path.push(at.to_string());
                self.tell("duplicate", message, None);
                self.path.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::manifest::Origin;

    fn told(body: Value) -> Vec<String> {
        let object = Object::new(body, Origin { file: "a.yaml".into(), line: 1 }).unwrap();
        let words = |misfit: Misfit| {
            format!(
                "{}: {}{}",
                misfit.code,
                misfit.message,
                misfit.hint.map(|it| format!(": {it}")).unwrap_or_default()
            )
        };
        misfits(&object).into_iter().map(words).collect()
    }

    fn deployment(spec: Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": spec})
    }

    #[test]
    fn what_the_api_server_would_not_take_is_told_with_its_place() {
        let version = &record().kubernetes;
        let container = json!({"name": "a", "image": "b", "env": [{"name": "A", "value": 5}, {"name": "A", "value": "6"}],
            "ports": [{"containerPort": "80"}, {"containerPort": 1.5}], "tty": "true", "command": "sleep"});
        assert_eq!(
            told(deployment(json!({"replcias": 2, "selector": {"matchLabels": {"a": true}},
                "template": {"spec": {"containers": [container], "volumes": {"name": "a"}}}}))),
            [
                format!("unknown-field: Kubernetes {version} knows no spec.replcias: did you mean replicas?"),
                "wrong-type: spec.selector.matchLabels.a is a boolean, it must be a text: write it in quotes".into(),
                "duplicate: spec.template.spec.containers[0].env[1] stands there a second time (the same name)".into(),
                "wrong-type: spec.template.spec.containers[0].env[0].value is a number, it must be a text: write it in quotes"
                    .into(),
                "wrong-type: spec.template.spec.containers[0].ports[0].containerPort is a text, it must be a whole number: \
                 write it without quotes"
                    .into(),
                "wrong-type: spec.template.spec.containers[0].ports[1].containerPort is a number, it must be a whole number"
                    .into(),
                "wrong-type: spec.template.spec.containers[0].tty is a text, it must be true or false: write it without quotes"
                    .into(),
                "wrong-type: spec.template.spec.containers[0].command is a text, it must be a list".into(),
                "wrong-type: spec.template.spec.volumes is a mapping, it must be a list".into(),
            ]
        );
    }

    #[test]
    fn what_it_takes_is_no_mistake() {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "labels": null},
            "spec": {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "targetPort": "dns"}, {"port": 54, "targetPort": 53}]}});
        assert_eq!(told(service), [""; 0]);
        let limits = json!({"limits": {"cpu": 2, "memory": "1Gi"}});
        let pod = json!({"containers": [{"name": "a", "image": "b", "resources": limits}]});
        assert_eq!(told(deployment(json!({"template": {"spec": pod}}))), [""; 0]);
        let custom =
            json!({"apiVersion": "example.com/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {"x": 1}});
        assert_eq!(told(custom), [""; 0], "what is not in the record is not judged");
    }
}
