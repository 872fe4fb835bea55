//! Work that ends: Job and CronJob.

use serde_json::Value;

use super::fields::{condition, count, is_true, number, one_line, text, written_status};
use super::{Cause, Status, pods};

/// A Job. Read: conditions `Complete`, `SuccessCriteriaMet`, `Failed`, `FailureTarget`, `Suspended`; startTime, active,
/// succeeded, failed.
///
/// A crashing pod does not fail a Job that has retries left: `backoffLimit` is the author's own grace. A pod that
/// cannot even start is failing, as no retry is counted for it.
pub fn job(object: &Value, related: &[&Value]) -> Status {
    let holds = |kind: &str| condition(object, kind).filter(|it| it.is_true());
    if let Some(complete) = holds("Complete") {
        let reason = if complete.reason == "SuccessPolicy" { "completed by its success policy" } else { "completed" };
        return Status::ready(reason);
    }
    if let Some(failed) = holds("Failed").or_else(|| holds("FailureTarget")) {
        let message = one_line(failed.message);
        let mut reason = match (failed.reason, message.as_str()) {
            ("", "") => "has failed".to_owned(),
            ("", message) => message.to_owned(),
            (reason, "") => one_line(reason),
            (reason, message) => format!("{}: {message}", one_line(reason)),
        };
        if let Some(last) = last_failure(related) {
            reason = format!("{reason}; {last}");
        }
        return Status::failed(reason);
    }
    if written_status(object).is_none() {
        return if is_true(object, "/spec/suspend") {
            Status::ready("suspended")
        } else {
            Status::progressing("created, its controller has not looked at it yet")
        };
    }
    match (is_true(object, "/spec/suspend"), holds("Suspended")) {
        (true, Some(_)) => return Status::ready("suspended"),
        (true, None) => return Status::progressing("is being suspended"),
        (false, Some(_)) => return Status::progressing("is being resumed"),
        (false, None) => {}
    }
    if holds("SuccessCriteriaMet").is_some() {
        return Status::progressing("has succeeded, its last pods are ending");
    }
    if text(object, "/status/startTime").is_empty() {
        return Status::progressing("has not been started yet");
    }
    let failed = count(object, "/status/failed");
    let mut counts = match number(object, "/spec/completions") {
        Some(want) if want > 1 => vec![format!("{} of {want} completed", count(object, "/status/succeeded"))],
        _ => Vec::new(),
    };
    counts.push(match count(object, "/status/active") {
        0 => "no pod running".to_owned(),
        active => format!("{active} running"),
    });
    if failed > 0 {
        let limit = number(object, "/spec/backoffLimit").unwrap_or(6);
        counts.push(format!("{failed} failed, gives up after {limit} retries"));
    }
    let counts = counts.join(", ");
    match pods::explain(related) {
        Some(Status::Failing { reason, cause: Cause::Crash }) => Status::progressing(format!("{counts}: {reason}")),
        Some(Status::Failing { reason, cause }) => Status::failing(cause, format!("{counts}: {reason}")),
        Some(Status::Failed { reason }) => Status::failed(format!("{counts}: {reason}")),
        Some(other) => Status::progressing(format!("{counts}: {}", other.reason())),
        None => Status::progressing(counts),
    }
}

/// What the newest failed pod of a Job died of.
fn last_failure(related: &[&Value]) -> Option<String> {
    let verdicts = related.iter().map(|pod| (text(pod, "/metadata/creationTimestamp"), pods::pod(pod)));
    verdicts
        .filter(|(_, verdict)| matches!(verdict, Status::Failed { .. } | Status::Failing { .. }))
        .max_by_key(|(created, _)| *created)
        .map(|(_, verdict)| verdict.reason().to_owned())
}

/// A CronJob is ready as soon as it exists; its next run may be far away. Remarks: suspended, when it last started.
pub fn cron_job(object: &Value) -> Status {
    if is_true(object, "/spec/suspend") {
        return Status::ready("suspended");
    }
    match text(object, "/status/lastScheduleTime") {
        "" => Status::ready(""),
        time => Status::ready(format!("last started {}", one_line(time))),
    }
}
