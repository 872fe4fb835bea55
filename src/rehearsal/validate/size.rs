//! How large objects may be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::manifest::schema::Kind;
use crate::rehearsal::status::FieldError;

/// Bytes in all values of a ConfigMap or Secret. Source: `MaxSecretSize` of Kubernetes' pkg/apis/core.
const DATA: usize = 1 << 20;

/// Bytes in all annotations with their names. Source: `TotalAnnotationSizeLimitB` of apimachinery's pkg/api/validation.
const ANNOTATIONS: usize = 256 << 10;

/// What is too large about an object.
pub fn errors(kind: &Kind, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let entries = |pointer: &str| object.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
    let plain = |value: &Value| value.as_str().map_or(0, str::len);
    // What cannot be decoded is refused for that.
    let decoded = |value: &Value| value.as_str().and_then(|text| STANDARD.decode(text).ok()).map_or(0, |it| it.len());
    let annotations: usize = entries("/metadata/annotations").map(|(name, value)| name.len() + plain(value)).sum();
    if annotations > ANNOTATIONS {
        errors.push(FieldError::too_long("metadata.annotations", ANNOTATIONS));
    }
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "ConfigMap") => {
            let size: usize = entries("/data").map(|(_, value)| plain(value)).sum();
            let binary: usize = entries("/binaryData").map(|(_, value)| decoded(value)).sum();
            if size + binary > DATA {
                // The API server names no field here.
                errors.push(FieldError::too_long("[]", DATA));
            }
        }
        ("", "Secret") if entries("/data").map(|(_, value)| decoded(value)).sum::<usize>() > DATA => {
            errors.push(FieldError::too_long("data", DATA));
        }
        _ => {}
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::manifest::{Object, Origin};
    use crate::rehearsal::validate::refusals;

    fn told(kind: &str, data: &Value) -> Vec<String> {
        let mut body = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}});
        for (name, value) in data.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let object = Object::new(body, Origin::default()).unwrap_or_else(|error| panic!("{error}"));
        refusals(&object).into_iter().map(|error| format!("{}: {}", error.field, error.message)).collect()
    }

    #[test]
    fn data_and_annotations_have_their_limits() {
        let text = |length: usize| "x".repeat(length);
        assert_eq!(told("ConfigMap", &json!({"data": {"a": text(1 << 19), "b": text(1 << 19)}})), [""; 0]);
        let long = "Too long: may not be more than 1048576 bytes";
        let two = json!({"data": {"a": text(1 << 19), "b": text((1 << 19) + 1)}});
        assert_eq!(told("ConfigMap", &two), [format!("[]: {long}")]);
        assert_eq!(told("Secret", &json!({"stringData": {"a": text((1 << 20) + 1)}})), [format!("data: {long}")]);
        let metadata = |length| json!({"metadata": {"name": "a", "annotations": {"a": text(length)}}});
        assert_eq!(told("ConfigMap", &metadata((256 << 10) - 1)), [""; 0]);
        let told = told("ConfigMap", &metadata(256 << 10));
        assert_eq!(told, ["metadata.annotations: Too long: may not be more than 262144 bytes"]);
    }
}
