//! The rule for kinds without one: custom resources, judged by the conventions that their controllers follow.

use serde_json::Value;

use super::Status;
use super::fields::{Condition, condition, items, one_line, text, written_status};

/// Conditions that say, when `True`, that the object does what it should; the first one that is there decides.
const POSITIVE: [&str; 4] = ["Ready", "Available", "Healthy", "Succeeded"];

/// A kind of Kubernetes itself without a rule of its own: ready, unless a `Ready` condition says otherwise.
pub fn built_in(object: &Value) -> Status {
    match condition(object, "Ready") {
        Some(it) if !it.is_true() => Status::progressing(it.says()),
        _ => Status::ready(""),
    }
}

/// A custom resource. The caller has asked about deletion and about `status.observedGeneration`; `any_generation`
/// says that an earlier generation in conditions is acceptable, too.
pub fn status(object: &Value, crd: Option<&Value>, any_generation: bool) -> Status {
    let Some(written) = written_status(object) else { return without_status(object, crd) };
    let holds = |kind: &str| condition(object, kind).filter(Condition::is_true);
    if let Some(stalled) = holds("Stalled") {
        return Status::failed(format!("stalled: {}", stalled.says()));
    }
    if let Some(it) = holds("Reconciling") {
        return Status::progressing(it.says());
    }
    let positive = POSITIVE.iter().find_map(|kind| condition(object, kind));
    if !any_generation && positive.as_ref().is_some_and(|it| it.is_stale(object)) {
        return Status::progressing("changed, its controller has not looked at the change yet");
    }
    match positive {
        Some(it) if it.is_true() => return Status::ready(""),
        Some(it) if it.is_false() && is_lasting(&it) => return Status::failed(with_reason(&it)),
        Some(it) => {
            return match holds("Failed") {
                Some(failed) => Status::failed(with_reason(&failed)),
                None => Status::progressing(with_reason(&it)),
            };
        }
        None => {}
    }
    if let Some(failed) = holds("Failed") {
        return Status::failed(with_reason(&failed));
    }
    if let Some(complete) = ["Complete", "Completed"].iter().find_map(|kind| condition(object, kind)) {
        return if complete.is_true() {
            Status::ready("completed")
        } else {
            Status::progressing(with_reason(&complete))
        };
    }
    by_phase(written)
}

/// Fallback for controllers that write a word instead of conditions.
fn by_phase(written: &Value) -> Status {
    let (field, word) = ["/health/status", "/phase", "/state", "/health"]
        .iter()
        .map(|field| (field.trim_start_matches('/').split('/').next().unwrap_or_default(), text(written, field)))
        .find(|(_, word)| !word.is_empty())
        .unwrap_or_default();
    let shown = format!("its {field} is {}", one_line(word));
    let message = one_line(text(written, "/message"));
    let shown = if message.is_empty() || word.is_empty() { shown } else { format!("{shown}: {message}") };
    match word.to_ascii_lowercase().as_str() {
        "" => Status::ready("nothing in its status says whether it is ready"),
        "failed" | "failure" => Status::failed(shown),
        "pending" | "creating" | "provisioning" | "initializing" | "initialising" | "installing" | "starting"
        | "progressing" | "reconciling" | "updating" | "upgrading" | "deploying" | "waiting" | "bootstrapping"
        | "restoring" | "missing" | "degraded" | "error" | "unhealthy" | "unknown" | "notready" | "deleting" => {
            Status::progressing(shown)
        }
        _ => Status::ready(shown),
    }
}

/// An object that nobody wrote a status to: unfinished if its definition promises one.
fn without_status(object: &Value, crd: Option<&Value>) -> Status {
    match crd {
        Some(crd) if promises_status(object, crd) => Status::progressing("created, nobody has looked at it yet"),
        Some(_) => Status::ready(""),
        None => Status::ready("has no status: nothing says whether its controller has seen it"),
    }
}

/// Whether the definition has a status for the object's version: as a subresource or in its schema.
pub fn promises_status(object: &Value, crd: &Value) -> bool {
    let version = text(object, "/apiVersion").rsplit('/').next().unwrap_or_default();
    let versions = items(crd, "/spec/versions");
    let served = versions.iter().find(|it| text(it, "/name") == version).or(versions.first());
    served.is_some_and(|it| {
        it.pointer("/subresources/status").is_some_and(|it| !it.is_null())
            || it.pointer("/schema/openAPIV3Schema/properties/status").is_some()
    })
}

/// Reasons that speak of a spec that can never work. Everything else may still be work in progress.
fn is_lasting(condition: &Condition<'_>) -> bool {
    let reason = condition.reason.to_ascii_lowercase();
    let spec_is_wrong = ["invalid", "unsupported", "notsupported", "terminal", "rejected", "denied"]
        .iter()
        .any(|word| reason.starts_with(word) || reason.ends_with(word));
    let ended = condition.kind == "Succeeded"
        && ["fail", "error", "timeout", "deadline", "cancel", "exceeded"].iter().any(|word| reason.contains(word));
    spec_is_wrong || ended || matches!(reason.as_str(), "validationfailed" | "validationerror" | "configurationerror")
}

/// `Reason: message`, with the type where neither says anything.
fn with_reason(condition: &Condition<'_>) -> String {
    let (reason, message) = (one_line(condition.reason), one_line(condition.message));
    match (reason.as_str(), message.as_str()) {
        ("", _) | (_, "") => condition.says(),
        (reason, message) => format!("{reason}: {message}"),
    }
}
