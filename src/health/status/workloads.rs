//! Workloads that keep pods running: Deployment, ReplicaSet, ReplicationController, StatefulSet, DaemonSet.

use serde_json::Value;

use super::fields::{condition, count, counted, is_true, name, number, text, unseen};
use super::{Cause, Status, pods};

/// A workload's own finding and what its pods say: a ready workload stays ready, whatever one pod does for a moment;
/// an unfinished one is as bad as its worst pod.
fn with_pods(missing: String, related: &[&Value]) -> Status {
    match pods::explain(related) {
        Some(Status::Failing { reason, cause }) => Status::failing(cause, format!("{missing}: {reason}")),
        Some(Status::Failed { reason }) => Status::failed(format!("{missing}: {reason}")),
        Some(other) => Status::progressing(format!("{missing}: {}", other.reason())),
        None => Status::progressing(missing),
    }
}

/// `1 of 4 pods ready`.
fn of_pods(have: i64, want: i64, what: &str) -> String {
    format!("{have} of {} {what}", counted(want, "pod"))
}

/// What is missing for `want` pods to be ready and available; `None` when nothing is.
fn shortage(object: &Value, want: i64, ready: i64, available: Option<i64>) -> Option<String> {
    if ready < want {
        return Some(of_pods(ready, want, "ready"));
    }
    let available = available?;
    (available < want).then(|| {
        let words = of_pods(available, want, "available");
        match number(object, "/spec/minReadySeconds") {
            Some(seconds) if seconds > 0 => format!("{words}, each must stay ready for {seconds} s"),
            _ => words,
        }
    })
}

/// A message of the controller that it cannot create pods, as quota and admission give.
fn refused(object: &Value, missing: &str) -> Option<Status> {
    let failure = condition(object, "ReplicaFailure").filter(|it| it.is_true())?;
    Some(Status::failing(Cause::Refused, format!("{missing}: pods cannot be created: {}", failure.says())))
}

/// A Deployment. Read: observedGeneration, replicas, updatedReplicas, readyReplicas, availableReplicas, conditions
/// `Progressing` and `ReplicaFailure`, `spec.paused`.
pub fn deployment(object: &Value, related: &[&Value]) -> Status {
    if let Some(unseen) = unseen(object) {
        return unseen;
    }
    let want = number(object, "/spec/replicas").unwrap_or(1).max(0);
    let all = count(object, "/status/replicas");
    let updated = count(object, "/status/updatedReplicas");
    let ready = count(object, "/status/readyReplicas");
    let available = count(object, "/status/availableReplicas");
    if is_true(object, "/spec/paused") {
        return paused(object, related, [want, all, updated, ready, available]);
    }
    let missing = if updated < want {
        Some(of_pods(updated, want, if all > updated { "updated" } else { "created" }))
    } else if let Some(shortage) = shortage(object, want, ready, Some(available)) {
        Some(shortage)
    } else if all > updated {
        Some(format!("{} still to be removed", counted(all - updated, "old pod")))
    } else if all > want {
        Some(format!("{} still to be removed", counted(all - want, "pod")))
    } else {
        None
    };
    let late = condition(object, "Progressing").filter(|it| it.reason == DEADLINE);
    match (missing, late) {
        (None, None) => Status::ready(if want == 0 { "0 replicas wanted" } else { "" }),
        (missing, Some(late)) => {
            let missing = missing.unwrap_or_else(|| of_pods(available, want, "available"));
            let found = pods::explain(related).map(|it| it.reason().to_owned());
            let refusal = refused(object, "").map(|it| it.reason().trim_start_matches(": ").to_owned());
            let why = found.or(refusal).unwrap_or_else(|| late.says());
            let deadline = number(object, "/spec/progressDeadlineSeconds")
                .map_or_else(String::new, |seconds| format!(" for {seconds} s"));
            Status::failed(format!("{missing}, no progress{deadline}: {why}"))
        }
        (Some(missing), None) => refused(object, &missing).unwrap_or_else(|| with_pods(missing, related)),
    }
}

/// The reason of a Deployment's condition `Progressing` after `spec.progressDeadlineSeconds` without progress. It stays until
/// there is progress again, which the controller goes on to try for.
const DEADLINE: &str = "ProgressDeadlineExceeded";

/// When a Deployment missed its progress deadline, as its condition tells; `None` when it has not.
pub fn missed_deadline(object: &Value) -> Option<&str> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let missed = conditions.iter().find(|it| it.get("reason").and_then(Value::as_str) == Some(DEADLINE))?;
    missed.get("lastUpdateTime")?.as_str()
}

/// The object without a progress deadline that it missed: what it is otherwise.
pub fn without_deadline(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(conditions) = object.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
        conditions.retain(|it| it.get("reason").and_then(Value::as_str) != Some(DEADLINE));
    }
    object
}

/// A paused Deployment rolls nothing out: what runs may be fine, but a new one will never get a pod.
fn paused(object: &Value, related: &[&Value], [want, all, updated, ready, available]: [i64; 5]) -> Status {
    if want > 0 && all == 0 {
        return Status::failed(format!("paused before its first pod: {}", of_pods(0, want, "created")));
    }
    match shortage(object, want, ready, Some(available)) {
        Some(missing) => {
            let missing = format!("paused: {missing}");
            refused(object, &missing).unwrap_or_else(|| with_pods(missing, related))
        }
        None if updated < all => Status::ready(format!("paused: {}", of_pods(updated, all, "updated"))),
        None => Status::ready("paused"),
    }
}

/// A ReplicaSet or ReplicationController. Read: observedGeneration, replicas, readyReplicas, availableReplicas,
/// condition `ReplicaFailure`.
pub fn replica_set(object: &Value, related: &[&Value]) -> Status {
    if let Some(unseen) = unseen(object) {
        return unseen;
    }
    let want = number(object, "/spec/replicas").unwrap_or(1).max(0);
    let all = count(object, "/status/replicas");
    let labelled = number(object, "/status/fullyLabeledReplicas");
    let missing = if all < want {
        of_pods(all, want, "created")
    } else if let Some(shortage) =
        shortage(object, want, count(object, "/status/readyReplicas"), Some(count(object, "/status/availableReplicas")))
    {
        shortage
    } else if all > want {
        format!("{} still to be removed", counted(all - want, "pod"))
    } else if let Some(labelled) = labelled.filter(|labelled| *labelled < want) {
        of_pods(labelled, want, "with all labels of the template")
    } else {
        return Status::ready(if want == 0 { "0 replicas wanted" } else { "" });
    };
    refused(object, &missing).unwrap_or_else(|| with_pods(missing, related))
}

/// A StatefulSet. Read: observedGeneration, replicas, readyReplicas, availableReplicas, updatedReplicas,
/// currentRevision, updateRevision; `spec.updateStrategy` with its partition.
///
/// With `OnDelete`, and below a partition, pods of the old revision are what the spec asks for: a remark.
pub fn stateful_set(object: &Value, related: &[&Value]) -> Status {
    if let Some(unseen) = unseen(object) {
        return unseen;
    }
    let want = number(object, "/spec/replicas").unwrap_or(1).max(0);
    let all = count(object, "/status/replicas");
    let updated = count(object, "/status/updatedReplicas");
    let on_delete = text(object, "/spec/updateStrategy/type") == "OnDelete";
    let partition = if on_delete { 0 } else { count(object, "/spec/updateStrategy/rollingUpdate/partition") };
    let (current, update) = (text(object, "/status/currentRevision"), text(object, "/status/updateRevision"));
    let to_update = if on_delete { 0 } else { (want - partition).max(0) };
    let ready = count(object, "/status/readyReplicas");
    let missing = if let Some(shortage) = shortage(object, want, ready, number(object, "/status/availableReplicas")) {
        shortage
    } else if updated < to_update {
        of_pods(updated, to_update, "updated")
    } else if all > want {
        format!("{} still to be removed", counted(all - want, "pod"))
    } else if !on_delete && partition == 0 && want > 0 && !current.is_empty() && !update.is_empty() && current != update
    {
        "the rollout is not finished".to_owned()
    } else if want == 0 {
        return Status::ready("0 replicas wanted");
    } else if updated < want && current != update {
        let old = of_pods(want - updated, want, "still of the old revision");
        return Status::ready(if on_delete {
            format!("{old} (update strategy OnDelete)")
        } else {
            format!("{old} (partition {partition})")
        });
    } else {
        return Status::ready("");
    };
    if let Some(stuck) = stuck_revision(object, related, update) {
        return stuck;
    }
    with_pods(missing, related)
}

/// With ordered pod management the controller waits for every pod to be ready before it replaces one, so a broken pod
/// of the old revision is never replaced by the mended one
/// (<https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback>).
fn stuck_revision(object: &Value, related: &[&Value], update: &str) -> Option<Status> {
    if update.is_empty() || text(object, "/spec/podManagementPolicy") == "Parallel" {
        return None;
    }
    let stuck = related.iter().find_map(|pod| {
        let revision = text(pod, "/metadata/labels/controller-revision-hash");
        (!revision.is_empty() && revision != update).then(|| (pods::explain(&[pod]), *pod))
    });
    match stuck {
        Some((Some(Status::Failing { reason, cause }), pod)) => {
            let name = name(pod);
            let advice = format!("the old pod {name} is replaced only once it is ready or deleted");
            Some(Status::failing(cause, format!("{advice}: {reason}")))
        }
        _ => None,
    }
}

/// A DaemonSet. Read: observedGeneration, desiredNumberScheduled, currentNumberScheduled, updatedNumberScheduled,
/// numberReady, numberAvailable; `spec.updateStrategy`.
pub fn daemon_set(object: &Value, related: &[&Value]) -> Status {
    if let Some(unseen) = unseen(object) {
        return unseen;
    }
    let Some(want) = number(object, "/status/desiredNumberScheduled").map(|want| want.max(0)) else {
        return Status::progressing("its controller has not counted its nodes yet");
    };
    if want == 0 {
        return Status::ready("no node matches");
    }
    let on_delete = text(object, "/spec/updateStrategy/type") == "OnDelete";
    let of_nodes = |have: i64, what: &str| format!("{have} of {} {what}", counted(want, "node"));
    let scheduled = count(object, "/status/currentNumberScheduled");
    let updated = count(object, "/status/updatedNumberScheduled");
    let ready = count(object, "/status/numberReady");
    let available = number(object, "/status/numberAvailable");
    let missing = if scheduled < want {
        of_nodes(scheduled, "with a pod")
    } else if updated < want && !on_delete {
        of_nodes(updated, "with an updated pod")
    } else if ready < want {
        of_nodes(ready, "with a ready pod")
    } else if available.unwrap_or_default() < want {
        of_nodes(available.unwrap_or_default(), "with an available pod")
    } else if updated < want {
        return Status::ready(format!(
            "{} (update strategy OnDelete)",
            of_nodes(want - updated, "still with an old pod")
        ));
    } else {
        return Status::ready("");
    };
    with_pods(missing, related)
}
