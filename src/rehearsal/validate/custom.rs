//! What the schema of a CustomResourceDefinition refuses of a resource: what is missing, is no word of an enumeration, is too
//! small or too large, or does not match. Source: structural schemas of apiextensions, kube-openapi's pkg/validation/validate.

use serde_json::{Map, Number, Value, json};

use crate::rehearsal::status::FieldError;

/// What is refused of a resource that is made or changed: what was wrong before may stay wrong. Source: ratcheting of
/// apiextensions, KEP-4008.
pub fn refused(schema: &Value, live: Option<&Value>, object: &Value) -> Vec<FieldError> {
    let mut found = errors(schema, object);
    if !found.is_empty() {
        let known = live.map(|live| errors(schema, live)).unwrap_or_default();
        found.retain(|error| !known.contains(error));
    }
    found
}

/// What is wrong with a resource. Its status is not judged: it is written for itself, by whoever works for it.
fn errors(schema: &Value, object: &Value) -> Vec<FieldError> {
    let mut judged = object.clone();
    judged.as_object_mut().and_then(|judged| judged.shift_remove("status"));
    let mut errors = Vec::new();
    at(schema, &judged, "", &mut errors);
    errors.retain(|error| error.field != "status");
    errors
}

/// Judges a value; what stands beside its own schema (`oneOf`, `format`, expressions) is passed over.
fn at(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if value.is_null() || !schema.is_object() {
        return;
    }
    let either = flag(schema, "x-kubernetes-int-or-string");
    if let Some(wanted) = schema.get("type").and_then(Value::as_str).filter(|kind| !either && !is_a(value, kind)) {
        errors.push(FieldError::wrong_type(path, type_of(value), wanted));
    }
    if let Some(known) =
        schema.get("enum").and_then(Value::as_array).filter(|known| !known.iter().any(|it| same(it, value)))
    {
        let known: Vec<String> =
            known.iter().map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned)).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        errors.push(FieldError::unsupported_value(path, value, &known));
    }
    match value {
        Value::String(text) => of_text(schema, text, path, errors),
        Value::Number(number) => of_number(schema, number, path, errors),
        Value::Array(items) => {
            of_count(schema, items.len(), ["minItems", "maxItems"], "items", path, errors);
            let of = schema.get("items").unwrap_or(&Value::Null);
            for (index, item) in items.iter().enumerate() {
                at(of, item, &format!("{path}[{index}]"), errors);
            }
        }
        Value::Object(fields) => of_fields(schema, fields, path, errors),
        Value::Bool(_) | Value::Null => {}
    }
}

fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name).and_then(Value::as_bool) == Some(true)
}

fn of_fields(schema: &Value, fields: &Map<String, Value>, path: &str, errors: &mut Vec<FieldError>) {
    of_count(schema, fields.len(), ["minProperties", "maxProperties"], "properties", path, errors);
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let known = schema.get("properties").unwrap_or(&Value::Null);
    for (name, value) in fields {
        let of = known.get(name).or_else(|| schema.get("additionalProperties")).unwrap_or(&Value::Null);
        at(of, value, &below(name), errors);
    }
    let needed = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    // One that may be null is there as a null, which is not kept.
    let missing =
        needed.filter(|name| !fields.contains_key(*name) && !known.get(*name).is_some_and(|it| flag(it, "nullable")));
    errors.extend(missing.map(|name| FieldError::required(below(name), "")));
}

fn of_text(schema: &Value, text: &str, path: &str, errors: &mut Vec<FieldError>) {
    let most = |name: &str| schema.get(name).and_then(Value::as_u64).and_then(|most| usize::try_from(most).ok());
    let letters = text.chars().count();
    if let Some(most) = most("maxLength").filter(|most| letters > *most) {
        errors.push(FieldError::too_long(path, most));
    }
    let mut wrong =
        |detail: &str| errors.push(FieldError::invalid(path, &json!(text), &format!("{path} in body {detail}")));
    if let Some(least) = most("minLength").filter(|least| letters < *least) {
        wrong(&format!("should be at least {least} chars long"));
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str).filter(|pattern| !matches(pattern, text)) {
        wrong(&format!("should match '{pattern}'"));
    }
}

/// Whether a text matches, as Go reads patterns: classes such as `\d` are those of ASCII. What cannot be read, or reads otherwise in
/// Go, matches: classes have no operators there.
fn matches(pattern: &str, text: &str) -> bool {
    if pattern.contains('[') && ["&&", "--", "~~"].iter().any(|operator| pattern.contains(operator)) {
        return true;
    }
    let in_bytes = regex::bytes::RegexBuilder::new(pattern).unicode(false).build();
    match in_bytes {
        Ok(read) if text.is_ascii() => read.is_match(text.as_bytes()),
        _ => regex::Regex::new(pattern).map_or(true, |read| read.is_match(text)),
    }
}

fn of_number(schema: &Value, number: &Number, path: &str, errors: &mut Vec<FieldError>) {
    let Some(value) = number.as_f64() else { return };
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let mut wrong = |detail: String| {
        errors.push(FieldError::invalid(path, &json!(number), &format!("{path} in body should be {detail}")));
    };
    if let Some(most) = bound("maximum") {
        if flag(schema, "exclusiveMaximum") && value >= most {
            wrong(format!("less than {most}"));
        } else if value > most {
            wrong(format!("less than or equal to {most}"));
        }
    }
    if let Some(least) = bound("minimum") {
        if flag(schema, "exclusiveMinimum") && value <= least {
            wrong(format!("greater than {least}"));
        } else if value < least {
            wrong(format!("greater than or equal to {least}"));
        }
    }
    if let Some(factor) = bound("multipleOf").filter(|factor| *factor > 0.0) {
        let times = value / factor;
        // Fractions are seldom exact.
        if (times - times.round()).abs() > 1e-9 * times.abs().max(1.0) {
            wrong(format!("a multiple of {factor}"));
        }
    }
}

/// Judges how many there are; only too many has a reason of its own.
fn of_count(
    schema: &Value,
    count: usize,
    [least, most]: [&str; 2],
    what: &str,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    let bound = |name: &str| schema.get(name).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok());
    if let Some(most) = bound(most).filter(|most| count > *most) {
        errors.push(FieldError::too_many(path, count, most));
    }
    if let Some(least) = bound(least).filter(|least| count < *least) {
        let detail = format!("{path} in body should have at least {least} {what}");
        errors.push(FieldError::invalid(path, &json!(count), &detail));
    }
}

fn same(one: &Value, other: &Value) -> bool {
    one == other || one.as_f64().zip(other.as_f64()).is_some_and(|(one, other)| one.to_bits() == other.to_bits())
}

fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "integer" => is_whole(value),
        "number" => value.is_number(),
        "object" | "array" | "string" | "boolean" => type_of(value) == kind,
        _ => true,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_whole(value) => "integer",
        Value::Number(_) => "number",
        Value::Null => "null",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_refuses_what_the_api_server_refuses_by_it() {
        let schema = json!({"type": "object", "required": ["spec", "status"], "properties": {
        "status": {"type": "object", "required": ["phase"]},
        "spec": {"type": "object", "required": ["need", "hollow"], "properties": {
            "need": {"type": "string"},
            "hollow": {"type": "string", "nullable": true},
            "mode": {"type": "string", "enum": ["a", "b"]},
            "number": {"type": "integer", "enum": [1, 2]},
            "pattern": {"type": "string", "pattern": "^a+$"},
            "perl": {"type": "string", "pattern": "^(?!a)"},
            "least": {"type": "integer", "minimum": 2},
            "most": {"type": "integer", "maximum": 2},
            "above": {"type": "integer", "minimum": 2, "exclusiveMinimum": true},
            "below": {"type": "number", "maximum": 2.5, "exclusiveMaximum": true},
            "long": {"type": "string", "minLength": 3},
            "short": {"type": "string", "maxLength": 3},
            "few": {"type": "array", "maxItems": 2, "items": {"type": "string", "pattern": "^a"}},
            "many": {"type": "array", "minItems": 2, "items": {"type": "string"}},
            "fives": {"type": "integer", "multipleOf": 5},
            "tenths": {"type": "number", "multipleOf": 0.1},
            "full": {"type": "object", "minProperties": 2, "additionalProperties": {"type": "string"}},
            "map": {"type": "object", "maxProperties": 1, "additionalProperties": {"type": "integer", "minimum": 3}},
            "list": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}},
            "either": {"x-kubernetes-int-or-string": true, "pattern": "^[0-9]+$"},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }}}});
        for (spec, lines) in [
            (json!({}), vec![]),
            (
                json!({"mode": "a", "number": 2, "pattern": "aa", "perl": "a", "least": 2, "most": 2, "above": 3}),
                vec![],
            ),
            (json!({"below": 2.4, "long": "äöü", "short": "äöü", "few": ["a"], "fives": 10, "tenths": 0.3}), vec![]),
            (json!({"map": {"a": 3}, "either": 3, "free": {"a": 1}}), vec![]),
            (json!({"need": null}), vec!["spec.need: Required value"]),
            (json!({"mode": "c"}), vec!["spec.mode: Unsupported value: \"c\": supported values: \"a\", \"b\""]),
            (json!({"number": 3}), vec!["spec.number: Unsupported value: 3: supported values: \"1\", \"2\""]),
            (
                json!({"pattern": "b"}),
                vec!["spec.pattern: Invalid value: \"b\": spec.pattern in body should match '^a+$'"],
            ),
            (
                json!({"least": 1}),
                vec!["spec.least: Invalid value: 1: spec.least in body should be greater than or equal to 2"],
            ),
            (
                json!({"most": 3}),
                vec!["spec.most: Invalid value: 3: spec.most in body should be less than or equal to 2"],
            ),
            (json!({"above": 2}), vec!["spec.above: Invalid value: 2: spec.above in body should be greater than 2"]),
            (json!({"below": 2.5}), vec!["spec.below: Invalid value: 2.5: spec.below in body should be less than 2.5"]),
            (
                json!({"long": "äö"}),
                vec!["spec.long: Invalid value: \"äö\": spec.long in body should be at least 3 chars long"],
            ),
            (json!({"short": "abcd"}), vec!["spec.short: Too long: may not be more than 3 bytes"]),
            (json!({"few": ["a", "a", "a"]}), vec!["spec.few: Too many: 3: must have at most 2 items"]),
            (json!({"few": ["b"]}), vec!["spec.few[0]: Invalid value: \"b\": spec.few[0] in body should match '^a'"]),
            (
                json!({"many": ["a"]}),
                vec!["spec.many: Invalid value: 1: spec.many in body should have at least 2 items"],
            ),
            (json!({"fives": 7}), vec!["spec.fives: Invalid value: 7: spec.fives in body should be a multiple of 5"]),
            (
                json!({"full": {"a": "b"}}),
                vec!["spec.full: Invalid value: 1: spec.full in body should have at least 2 properties"],
            ),
            (json!({"map": {"a": 4, "b": 4}}), vec!["spec.map: Too many: 2: must have at most 1 item"]),
            (
                json!({"map": {"a": 1}}),
                vec!["spec.map.a: Invalid value: 1: spec.map.a in body should be greater than or equal to 3"],
            ),
            (json!({"list": [{"name": "a"}, {}]}), vec!["spec.list[1].name: Required value"]),
            (
                json!({"either": "x"}),
                vec!["spec.either: Invalid value: \"x\": spec.either in body should match '^[0-9]+$'"],
            ),
            (
                json!({"most": "x"}),
                vec!["spec.most: Invalid value: \"string\": spec.most in body must be of type integer: \"string\""],
            ),
            (
                json!({"list": {}}),
                vec!["spec.list: Invalid value: \"object\": spec.list in body must be of type array: \"object\""],
            ),
            (
                json!({"most": 1.5}),
                vec!["spec.most: Invalid value: \"number\": spec.most in body must be of type integer: \"number\""],
            ),
        ] {
            let mut object = json!({"spec": {"need": "x"}, "status": {"phase": 1}});
            crate::rehearsal::patch::merge(&mut object, &json!({"spec": spec}));
            let told: Vec<String> =
                errors(&schema, &object).iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
            assert_eq!(told, lines, "{spec}");
        }
        let told = errors(&schema, &json!({}));
        assert_eq!(told, [FieldError::required("spec", "")]);
        assert_eq!(errors(&Value::Null, &json!({"spec": 1})), []);
    }
}
