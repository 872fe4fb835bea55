//! What the API server refuses of roles and bindings. Source: Kubernetes' pkg/apis/rbac/validation.

use serde_json::Value;

use super::{choices, list, names};
use crate::rehearsal::status::FieldError;

/// What is wrong with a Role or ClusterRole.
pub fn role(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, rule) in list(object, "rules").enumerate() {
        let none = |name: &str| rule.get(name).and_then(Value::as_array).is_none_or(Vec::is_empty);
        if none("verbs") {
            let detail = "verbs must contain at least one value";
            errors.push(FieldError::required(format!("rules[{index}].verbs"), detail));
        }
        if none("nonResourceURLs") && none("resources") {
            let detail = "resource rules must supply at least one resource";
            errors.push(FieldError::required(format!("rules[{index}].resources"), detail));
        }
    }
    errors
}

/// What is wrong with a RoleBinding or ClusterRoleBinding.
pub fn binding(object: &Value, namespaced: bool) -> Vec<FieldError> {
    let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let role = &object["roleRef"];
    let known: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    let mut errors: Vec<FieldError> =
        choices::unknown(&text(role, "kind"), "roleRef.kind", known).into_iter().collect();
    if text(role, "name").is_empty() {
        errors.push(FieldError::required("roleRef.name", ""));
    }
    for (index, subject) in list(object, "subjects").enumerate() {
        let path = format!("subjects[{index}]");
        let (kind, name) = (text(subject, "kind"), text(subject, "name"));
        let field = format!("{path}.name");
        if name.is_empty() {
            errors.push(FieldError::required(field.clone(), ""));
        }
        if kind != "ServiceAccount" {
            let kinds = ["ServiceAccount", "User", "Group"];
            errors.extend(choices::unknown(&kind, &format!("{path}.kind"), &kinds));
            continue;
        }
        if !name.is_empty() {
            errors.extend(names::errors(&field, &name, names::subdomain(&name)));
        }
        // Within a namespace the API server lets it be left out, which binds nobody.
        if !namespaced && text(subject, "namespace").is_empty() {
            errors.push(FieldError::required(format!("{path}.namespace"), ""));
        }
    }
    errors
}
