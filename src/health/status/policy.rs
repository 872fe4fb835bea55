//! Objects that bound or steer others: HorizontalPodAutoscaler, PodDisruptionBudget, ResourceQuota.

use serde_json::Value;

use super::Status;
use super::fields::{condition, one_line, text, unseen, written_status};

/// A HorizontalPodAutoscaler. Read: conditions `AbleToScale` and `ScalingActive`.
///
/// Missing metrics are a remark: its workload runs, and a cluster without a metrics server would otherwise never be
/// up. A target that it cannot find, or a metric that cannot exist, is a fault.
pub fn autoscaler(object: &Value) -> Status {
    if written_status(object).is_none() {
        return Status::progressing("created, its controller has not looked at it yet");
    }
    if let Some(able) = condition(object, "AbleToScale").filter(|it| it.is_false()) {
        let target = match (text(object, "/spec/scaleTargetRef/kind"), text(object, "/spec/scaleTargetRef/name")) {
            ("", _) | (_, "") => "its target".to_owned(),
            (kind, name) => format!("{}/{}", one_line(kind), one_line(name)),
        };
        return Status::progressing(format!("cannot scale {target}: {}", able.says()));
    }
    match condition(object, "ScalingActive") {
        Some(it) if it.is_false() && it.reason.starts_with("Invalid") => {
            Status::failed(format!("cannot scale: {}", it.says()))
        }
        Some(it) if it.is_false() && it.reason == "ScalingDisabled" => {
            Status::ready("does not scale while its target has 0 replicas")
        }
        Some(it) if !it.is_true() => Status::ready(format!("does not scale yet: {}", it.says())),
        _ => Status::ready(""),
    }
}

/// A PodDisruptionBudget. Read: observedGeneration, condition `DisruptionAllowed`. Whether a disruption is allowed
/// right now says nothing on its own health.
pub fn disruption_budget(object: &Value) -> Status {
    if let Some(unseen) = unseen(object) {
        return unseen;
    }
    match condition(object, "DisruptionAllowed").filter(|it| it.reason == "SyncFailed") {
        Some(it) => Status::ready(format!("cannot count its pods: {}", it.says())),
        None => Status::ready(""),
    }
}

/// A ResourceQuota is in force once its controller has taken over every limit: `status.hard` has what `spec.hard` has.
pub fn quota(object: &Value) -> Status {
    let limits = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_object)
            .map(|it| it.keys().collect::<std::collections::BTreeSet<_>>())
    };
    let wanted = limits("/spec/hard").unwrap_or_default();
    let counted = limits("/status/hard").unwrap_or_default();
    match wanted.difference(&counted).next() {
        None => Status::ready(""),
        Some(_) if counted.is_empty() => Status::progressing("created, its controller has not looked at it yet"),
        Some(limit) => Status::progressing(format!("{} is not counted yet", one_line(limit))),
    }
}
