//! Reading fields of objects that may hold anything: a wrong type reads as absent, never as an error.

use serde_json::Value;

use super::Status;

/// Longest part of a message that is taken over from the cluster, in characters.
const LONGEST: usize = 300;

/// The text at a JSON pointer; empty when there is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The whole number at a JSON pointer; also one written as a text, as some controllers do.
pub fn number(value: &Value, pointer: &str) -> Option<i64> {
    match value.pointer(pointer)? {
        #[expect(clippy::cast_possible_truncation, reason = "saturates, which is all that a count needs")]
        Value::Number(it) => it.as_i64().or_else(|| it.as_f64().map(|it| it as i64)),
        Value::String(it) => it.trim().parse().ok(),
        _ => None,
    }
}

/// The count at a JSON pointer; 0 when absent, as controllers leave out zeros, and never negative.
pub fn count(value: &Value, pointer: &str) -> i64 {
    number(value, pointer).unwrap_or_default().max(0)
}

/// The list at a JSON pointer; empty when there is none.
pub fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Whether the field at a JSON pointer is `true`.
pub fn is_true(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or_default()
}

/// The API group; empty for the core group.
pub fn group(object: &Value) -> &str {
    text(object, "/apiVersion").split_once('/').map_or("", |(group, _)| group)
}

/// `metadata.name`.
pub fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// `status`, if anything is in it.
pub fn written_status(object: &Value) -> Option<&Value> {
    object.get("status").filter(|status| match status {
        Value::Object(fields) => fields.values().any(|field| match field {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
            _ => true,
        }),
        _ => false,
    })
}

/// A condition as controllers write them to `status.conditions`.
#[derive(Clone, Copy, Debug)]
pub struct Condition<'a> {
    /// The type, e.g. `Ready`.
    pub kind: &'a str,
    /// `True`, `False` or `Unknown`.
    pub status: &'a str,
    /// Machine-readable reason.
    pub reason: &'a str,
    /// Message for people.
    pub message: &'a str,
    /// The generation it speaks of, if it says so.
    pub observed: Option<i64>,
}

impl<'a> Condition<'a> {
    fn read(value: &'a Value) -> Self {
        Self {
            kind: text(value, "/type"),
            status: text(value, "/status"),
            reason: text(value, "/reason"),
            message: text(value, "/message"),
            observed: number(value, "/observedGeneration"),
        }
    }

    /// Whether it is `True`.
    pub fn is_true(&self) -> bool {
        self.status == "True"
    }

    /// Whether it is `False`.
    pub fn is_false(&self) -> bool {
        self.status == "False"
    }

    /// Whether it speaks of an earlier generation of the object.
    pub fn is_stale(&self, object: &Value) -> bool {
        matches!((self.observed, number(object, "/metadata/generation")), (Some(seen), Some(now)) if seen < now)
    }

    /// What it says: its message, else its reason, else its type and status.
    pub fn says(&self) -> String {
        match (one_line(self.message), self.reason) {
            (message, _) if !message.is_empty() => message,
            (_, reason) if !reason.is_empty() => one_line(reason),
            _ => format!("{} is {}", one_line(self.kind), if self.status.is_empty() { "empty" } else { self.status }),
        }
    }
}

/// Conditions at a JSON pointer to a list of them.
pub fn conditions_at<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = Condition<'a>> {
    items(value, pointer).iter().filter(|item| item.is_object()).map(Condition::read)
}

/// The condition of a type in `status.conditions`.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<Condition<'a>> {
    conditions_at(object, "/status/conditions").find(|condition| condition.kind == kind)
}

/// The verdict when the controller says itself that it has only seen an earlier generation. An observed generation of
/// another type than a number (or a number as text) is no statement.
pub fn unobserved(object: &Value) -> Option<Status> {
    let generation = number(object, "/metadata/generation")?;
    let seen = number(object, "/status/observedGeneration")?;
    (seen < generation).then(|| {
        Status::progressing(if seen <= 0 {
            "created, its controller has not looked at it yet".to_owned()
        } else {
            format!("changed, its controller has only seen generation {seen} of {generation}")
        })
    })
}

/// The verdict for kinds whose controller always writes an observed generation (Deployment, ReplicaSet,
/// ReplicationController, StatefulSet, DaemonSet, PodDisruptionBudget, ValidatingAdmissionPolicy): without one,
/// nobody has looked at the object.
pub fn unseen(object: &Value) -> Option<Status> {
    let unseen = match written_status(object) {
        None => true,
        // Objects that lost their metadata on the way, as in a trimmed dump, are judged by the status they have.
        Some(status) => {
            object.pointer("/metadata/generation").is_some()
                && status.get("observedGeneration").is_none_or(Value::is_null)
        }
    };
    unseen.then(|| Status::progressing("created, its controller has not looked at it yet"))
}

/// A text of the cluster as part of a sentence: one line, no escape sequences, no full stop, at most about 300
/// characters. A word stays whole or is left out: half a secret could not be recognised as one any more.
pub fn one_line(text: &str) -> String {
    // Bidirectional controls reorder what a terminal shows after them.
    let splits =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let text = anstream::adapter::strip_str(text).to_string();
    let mut line = String::new();
    let mut length = 0;
    for word in text.split(splits).filter(|word| !word.is_empty()) {
        length += word.chars().count() + 1;
        if length > LONGEST {
            line.push_str(if line.is_empty() { "…" } else { " …" });
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line.truncate(line.trim_end_matches('.').len());
    line
}

/// `1 pod`, `2 pods`.
pub fn counted(number: i64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn texts_of_the_cluster_become_one_clean_line() {
        for (text, expected) in
            [("  a\n\tb.. ", "a b"), ("\u{1b}[31mred\u{1b}[0m \u{202e}x", "red x"), ("", ""), ("...", "")]
        {
            assert_eq!(one_line(text), expected, "{text:?}");
        }
        let long = format!("{} {}", "word ".repeat(58), "s".repeat(50));
        assert!(one_line(&long).ends_with("word …"), "a word is never cut");
        assert_eq!(one_line(&"s".repeat(400)), "…");
    }
}
