//! What of a value the schema of a CustomResourceDefinition lets stay: what an operator writes beyond it is dropped by the API
//! server, or refused. Pure. Source: structural schemas of apiextensions, pruning and validation of types and `enum`.

use serde_json::{Map, Value};

/// The value without the fields that the schema does not know; nothing where the API server would refuse it.
pub fn kept(schema: &Value, value: &Value) -> Option<Value> {
    let flag = |name: &str| schema.get(name).and_then(Value::as_bool) == Some(true);
    let open = flag("x-kubernetes-preserve-unknown-fields");
    if schema.as_object().is_none_or(Map::is_empty) || value.is_null() && flag("nullable") {
        return Some(value.clone());
    }
    if let Some(Value::Array(values)) = schema.get("enum")
        && !values.contains(value)
    {
        return None;
    }
    let is_a_kind_of = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    };
    let wanted = schema.get("type").and_then(Value::as_str).filter(|_| !flag("x-kubernetes-int-or-string"));
    if !wanted.is_none_or(is_a_kind_of) {
        return None;
    }
    match value {
        Value::Object(fields) => {
            let mut left = Map::new();
            for (name, field) in fields {
                let known = schema.get("properties").and_then(|known| known.get(name));
                let known = known.or_else(|| schema.get("additionalProperties").filter(|it| it.is_object()));
                match known {
                    Some(known) => drop(left.insert(name.clone(), kept(known, field)?)),
                    None if open || flag("additionalProperties") => drop(left.insert(name.clone(), field.clone())),
                    None => {}
                }
            }
            Some(left.into())
        }
        Value::Array(items) => {
            let of = schema.get("items").unwrap_or(&Value::Null);
            items.iter().map(|item| kept(of, item)).collect::<Option<Vec<_>>>().map(Value::Array)
        }
        _ => Some(value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_schema_does_not_know_goes_and_what_it_forbids_is_refused() {
        let schema = json!({"type": "object", "properties": {
            "phase": {"type": "string", "enum": ["Pending", "Running"]},
            "count": {"type": "integer"},
            "port": {"x-kubernetes-int-or-string": true},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "conditions": {"type": "array", "items": {"type": "object", "properties": {"type": {"type": "string"}}}},
            "gone": {"type": "string", "nullable": true},
        }});
        let whole = json!({"phase": "Running", "count": 3, "port": "http", "free": {"a": {"b": 1}}, "labels": {"a": "b"}, "gone": null});
        assert_eq!(kept(&schema, &whole), Some(whole.clone()));
        assert_eq!(kept(&schema, &json!({"phase": "Running", "raedy": true})), Some(json!({"phase": "Running"})));
        let conditions = json!({"conditions": [{"type": "Ready", "reason": "x"}]});
        assert_eq!(kept(&schema, &conditions), Some(json!({"conditions": [{"type": "Ready"}]})));
        for refused in
            [json!({"phase": "Runing"}), json!({"count": "3"}), json!({"labels": {"a": 1}}), json!({"conditions": [1]})]
        {
            assert_eq!(kept(&schema, &refused), None, "{refused}");
        }
        assert_eq!(kept(&Value::Null, &whole), Some(whole));
    }
}
