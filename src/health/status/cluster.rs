//! Namespace and Node.

use serde_json::Value;

use super::Status;
use super::fields::{condition, conditions_at, is_true, one_line, text};

/// A Namespace. Read: `status.phase`.
pub fn namespace(object: &Value) -> Status {
    match text(object, "/status/phase") {
        "Active" => Status::ready(""),
        "Terminating" => Status::Terminating {
            reason: namespace_obstacle(object)
                .map_or_else(|| "being deleted".to_owned(), |obstacle| format!("being deleted: {obstacle}")),
        },
        "" => Status::progressing("created, nobody has looked at it yet"),
        phase => Status::progressing(format!("its phase is {}", one_line(phase))),
    }
}

/// What keeps a namespace from being gone: discovery that fails, content or finalizers that remain.
pub fn namespace_obstacle(object: &Value) -> Option<String> {
    conditions_at(object, "/status/conditions").find(|it| it.is_true() && !it.message.is_empty()).map(|it| it.says())
}

/// A Node. Read: condition `Ready`; remarks on pressure and cordoning.
pub fn node(object: &Value) -> Status {
    match condition(object, "Ready") {
        Some(it) if it.is_true() => {
            let pressure =
                conditions_at(object, "/status/conditions").find(|it| it.kind.ends_with("Pressure") && it.is_true());
            Status::ready(match pressure {
                Some(pressure) => pressure.says(),
                None if is_true(object, "/spec/unschedulable") => "takes no new pods (cordoned)".to_owned(),
                None => String::new(),
            })
        }
        Some(it) if it.status == "Unknown" => Status::progressing(format!("does not answer: {}", it.says())),
        Some(it) => Status::progressing(format!("not ready: {}", it.says())),
        None => Status::progressing("created, its kubelet has not reported yet"),
    }
}
