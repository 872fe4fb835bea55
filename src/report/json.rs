//! Events as JSON, one a line: the public format, version 1.

use serde_json::Value;

use crate::rebuild::event::Event;

/// The event's line as a value: times with milliseconds, durations in seconds rounded to milliseconds.
pub fn value(event: &Event) -> Value {
    // Serializing plain data with text keys into a value has nothing to fail on.
    let mut value = serde_json::to_value(event).unwrap_or_default();
    round(&mut value);
    if let Some(time) = value.get_mut("time") {
        *time = format!("{:.3}", event.time).into();
    }
    value
}

/// Rounds every fraction to thousandths.
pub(super) fn round(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let rounded = number.as_f64().map(|number| (number * 1000.0).round() / 1000.0);
            *value = rounded.and_then(serde_json::Number::from_f64).map_or(Value::Null, Value::Number);
        }
        Value::Array(items) => items.iter_mut().for_each(round),
        Value::Object(fields) => fields.values_mut().for_each(round),
        _ => {}
    }
}
