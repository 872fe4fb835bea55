//! Refusals, in the words and with the details of the real API server.

use serde_json::{Value, json};

use super::managers::Conflict;
use crate::manifest::schema::Kind;

/// An answer that is no success.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// HTTP status.
    pub code: u16,
    /// Its body, of kind `Status`.
    pub body: Value,
}

/// A refusal of a code, a reason and a message.
pub fn refusal(code: u16, reason: &str, message: impl Into<String>, details: Value) -> Refusal {
    let mut body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message.into(), "reason": reason, "code": code,
    });
    if details.as_object().is_some_and(|details| !details.is_empty()) {
        body["details"] = details;
    }
    if reason.is_empty() {
        body.as_object_mut().and_then(|body| body.shift_remove("reason"));
    }
    Refusal { code, body }
}

fn about(kind: &Kind, name: &str) -> Value {
    details(&kind.group, &kind.resource, name)
}

fn details(group: &str, kind: &str, name: &str) -> Value {
    let mut details = json!({});
    if !name.is_empty() {
        details["name"] = name.into();
    }
    if !group.is_empty() {
        details["group"] = group.into();
    }
    details["kind"] = kind.into();
    details
}

/// There is no such object.
pub fn not_found(kind: &Kind, name: &str) -> Refusal {
    refusal(404, "NotFound", format!("{} {name:?} not found", kind.qualified()), about(kind, name))
}

/// There is no such kind or path.
pub fn no_such_path() -> Refusal {
    refusal(404, "NotFound", "the server could not find the requested resource", json!({}))
}

/// It exists already.
pub fn exists(kind: &Kind, name: &str) -> Refusal {
    refusal(409, "AlreadyExists", format!("{} {name:?} already exists", kind.qualified()), about(kind, name))
}

/// It has changed since it was read.
pub fn changed(kind: &Kind, name: &str) -> Refusal {
    let qualified = kind.qualified();
    let message = format!(
        "Operation cannot be fulfilled on {qualified} {name:?}: the object has been modified; please apply your changes to \
         the latest version and try again"
    );
    refusal(409, "Conflict", message, about(kind, name))
}

/// A precondition of a deletion does not hold.
pub fn precondition(kind: &Kind, name: &str, what: &str, wanted: &str, found: &str) -> Refusal {
    // By its kind where others go by their resource.
    let qualified = if kind.group.is_empty() { kind.kind.clone() } else { format!("{}.{}", kind.kind, kind.group) };
    let why = if what == "UID" { "deleted and then recreated" } else { "modified" };
    let message = format!(
        "Operation cannot be fulfilled on {qualified} {name:?}: the {what} in the precondition ({wanted}) does not match the \
         {what} in record ({found}). The object might have been {why}"
    );
    let mut details = about(kind, name);
    details["kind"] = kind.kind.as_str().into();
    refusal(409, "Conflict", message, details)
}

/// Fields that other managers own.
pub fn conflict(conflicts: &[Conflict]) -> Refusal {
    let causes: Vec<Value> = conflicts
        .iter()
        .map(|conflict| {
            let message = format!("conflict with {}", conflict.manager);
            json!({"reason": "FieldManagerConflict", "message": message, "field": conflict.field})
        })
        .collect();
    let text = match conflicts {
        [one] => format!("conflict with {}: {}", one.manager, one.field),
        many => {
            let mut managers: Vec<&str> = many.iter().map(|conflict| conflict.manager.as_str()).collect();
            managers.sort_unstable();
            managers.dedup();
            let mut lines = Vec::new();
            for manager in managers {
                lines.push(format!("conflicts with {manager}:"));
                let own = many.iter().filter(|conflict| conflict.manager == manager);
                lines.extend(own.map(|conflict| format!("- {}", conflict.field)));
            }
            lines.join("\n")
        }
    };
    let plural = if conflicts.len() == 1 { "" } else { "s" };
    let message = format!("Apply failed with {} conflict{plural}: {text}", conflicts.len());
    refusal(409, "Conflict", message, json!({"causes": causes}))
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// `FieldValueInvalid`, `FieldValueRequired`, …
    pub reason: &'static str,
    /// `spec.template`.
    pub field: String,
    /// What the message says after the field.
    pub message: String,
}

impl FieldError {
    /// It is needed.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        Self { reason: "FieldValueRequired", field: field.into(), message: format!("Required value{detail}") }
    }

    /// It may not be so.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let message = format!("Invalid value: {value}: {detail}");
        Self { reason: "FieldValueInvalid", field: field.into(), message }
    }

    /// It may not be so at all.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self { reason: "FieldValueForbidden", field: field.into(), message: format!("Forbidden: {detail}") }
    }

    /// It is longer than so many bytes.
    pub fn too_long(field: impl Into<String>, most: usize) -> Self {
        let unit = if most == 1 { "byte" } else { "bytes" };
        let message = format!("Too long: may not be more than {most} {unit}");
        Self { reason: "FieldValueTooLong", field: field.into(), message }
    }

    /// There are more than so many.
    pub fn too_many(field: impl Into<String>, count: usize, most: usize) -> Self {
        let unit = if most == 1 { "item" } else { "items" };
        let message = format!("Too many: {count}: must have at most {most} {unit}");
        Self { reason: "FieldValueTooMany", field: field.into(), message }
    }

    /// It is of another type than its schema says.
    pub fn wrong_type(field: impl Into<String>, found: &str, wanted: &str) -> Self {
        let field = field.into();
        let message = format!("Invalid value: {found:?}: {field} in body must be of type {wanted}: {found:?}");
        Self { reason: "FieldValueTypeInvalid", field, message }
    }

    /// It is none of the values there are.
    pub fn unsupported(field: impl Into<String>, value: &str, known: &[&str]) -> Self {
        Self::unsupported_value(field, &json!(value), known)
    }

    /// The same of a value that is no text.
    pub fn unsupported_value(field: impl Into<String>, value: &Value, known: &[&str]) -> Self {
        let known: Vec<_> = known.iter().map(|value| format!("{value:?}")).collect();
        let message = format!("Unsupported value: {value}: supported values: {}", known.join(", "));
        Self { reason: "FieldValueNotSupported", field: field.into(), message }
    }

    /// It is there already.
    pub fn duplicate(field: impl Into<String>, value: &str) -> Self {
        let message = format!("Duplicate value: {value:?}");
        Self { reason: "FieldValueDuplicate", field: field.into(), message }
    }
}

/// A method that nothing answers there.
pub fn no_such_method() -> Refusal {
    let text = "the server does not allow this method on the requested resource";
    refusal(405, "MethodNotAllowed", text, json!({}))
}

/// An object that is not valid.
pub fn invalid(kind: &Kind, name: &str, errors: &[FieldError]) -> Refusal {
    invalid_of(&kind.group, &kind.kind, name, errors)
}

/// The same, of a kind that has no endpoints of its own.
pub fn invalid_of(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Refusal {
    let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
    let texts: Vec<String> = errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
    let text = match texts.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    };
    let causes: Vec<Value> = errors
        .iter()
        .map(|error| json!({"reason": error.reason, "message": error.message, "field": error.field}))
        .collect();
    let mut details = details(group, kind, name);
    details["causes"] = causes.into();
    refusal(422, "Invalid", format!("{qualified} {name:?} is invalid: {text}"), details)
}
