//! Jobs.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Step, letters, make_pod, number, pods_of, seconds};
use crate::rehearsal::deletion::{Propagation, delete};
use crate::rehearsal::store::Key;
use crate::rehearsal::world::World;

fn phase(pod: &Value) -> &str {
    pod.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default()
}

/// A Job: pods until enough of them have succeeded, or too many have failed.
pub fn job(world: &mut World, key: &Key) {
    let Some(object) = world.store.get(key).cloned() else { return };
    let ended = |kind: &str| super::condition(&object, kind) == Some("True");
    if ended("Complete") || ended("Failed") {
        return expire(world, key, &object);
    }
    let now = world.now();
    if object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) {
        world.edit(key, |job| {
            job["status"]["conditions"] =
                json!([{"type": "Suspended", "status": "True", "reason": "JobSuspended", "lastTransitionTime": now}]);
        });
        return;
    }
    let completions = number(&object, "/spec/completions");
    let want = completions.unwrap_or(1);
    let limit = number(&object, "/spec/backoffLimit").unwrap_or(6);
    let pods = pods_of(world, &object);
    let of = |which: &str| super::count(&pods, |(_, pod)| phase(pod) == which);
    let (succeeded, failed) = (of("Succeeded"), of("Failed"));
    let restarts: u64 = pods
        .iter()
        .filter_map(|(_, pod)| pod.pointer("/status/containerStatuses/0/restartCount").and_then(Value::as_u64))
        .sum();
    let mut active = pods.len() as u64 - succeeded - failed;
    // Without a number of completions the first success is enough, and the pods beside it end by themselves.
    let enough = succeeded >= want && (completions.is_some() || active == 0);
    let end = if enough {
        Some(json!([
            {"type": "SuccessCriteriaMet", "status": "True", "reason": "CompletionsReached", "lastTransitionTime": now},
            {"type": "Complete", "status": "True", "reason": "CompletionsReached", "lastTransitionTime": now},
        ]))
    } else if failed + restarts > limit {
        let message = "Job has reached the specified backoff limit";
        Some(json!([{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": message,
            "lastTransitionTime": now}]))
    } else if is_overdue(world, key, &object) {
        for (pod, _) in pods.iter().filter(|(_, pod)| !matches!(phase(pod), "Succeeded" | "Failed")) {
            delete(world, pod, Propagation::Background);
        }
        let message = "Job was active longer than specified deadline";
        Some(json!([{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": message,
            "lastTransitionTime": now}]))
    } else {
        None
    };
    let side_by_side = number(&object, "/spec/parallelism").unwrap_or(1);
    let wanted = match completions {
        Some(completions) => side_by_side.min(completions.saturating_sub(succeeded)),
        None if succeeded > 0 => 0,
        None => side_by_side,
    };
    let missing = wanted.saturating_sub(active);
    if end.is_none() && missing > 0 {
        // The first at once; after a failure with a pause that doubles.
        let pause = Duration::from_secs(10 * (1 << failed.saturating_sub(1).min(5)));
        let last = object.pointer("/metadata/annotations/rehearsal~1retry").and_then(Value::as_str);
        let last = last.and_then(|at| at.parse::<u64>().ok());
        let due = u64::try_from((world.elapsed() + pause).as_millis()).unwrap_or_default();
        let elapsed = u64::try_from(world.elapsed().as_millis()).unwrap_or_default();
        match (failed, last) {
            (0, _) => active += create(world, key, &object, missing),
            (_, Some(at)) if at <= elapsed => {
                world.edit(key, forget_retry);
                active += create(world, key, &object, missing);
            }
            (_, Some(_)) => {}
            (_, None) => {
                world.edit(key, |job| job["metadata"]["annotations"]["rehearsal/retry"] = due.to_string().into());
                world.plan(Step::Look(key.clone()), pause);
            }
        }
    }
    if enough {
        super::operators::make(world, &object);
        if object.pointer("/spec/ttlSecondsAfterFinished").is_some() {
            world.note_done(key);
        }
    }
    let active = if end.is_none() { active } else { 0 };
    world.edit(key, |job| {
        let started = job.pointer("/status/startTime").cloned().unwrap_or_else(|| now.clone().into());
        let mut status = json!({"startTime": started, "active": active, "succeeded": succeeded, "failed": failed});
        super::workloads::drop_zeros(&mut status);
        if let Some(conditions) = end {
            if enough {
                status["completionTime"] = now.into();
            }
            status["conditions"] = conditions;
        }
        job["status"] = status;
    });
}

/// Deletes a Job that has ended when its `ttlSecondsAfterFinished` are over, counted from when its condition `Complete` or
/// `Failed` became true. Source: `timeLeft` of Kubernetes' pkg/controller/ttlafterfinished.
fn expire(world: &mut World, key: &Key, job: &Value) {
    let Some(limit) = seconds(job, "/spec/ttlSecondsAfterFinished") else { return };
    let conditions = job.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let ended = conditions.filter(|it| matches!(it["type"].as_str(), Some("Complete" | "Failed")));
    let since = ended.filter_map(|it| it["lastTransitionTime"].as_str()?.parse::<jiff::Timestamp>().ok()).next();
    let now = world.now().parse::<jiff::Timestamp>().ok();
    let Some(age) = now.zip(since).and_then(|(now, since)| Duration::try_from(now.duration_since(since)).ok()) else {
        return;
    };
    if age >= limit {
        delete(world, key, Propagation::Foreground);
    } else {
        world.plan(Step::Look(key.clone()), limit - age);
    }
}

/// Whether a Job has been at work for longer than it may; looks again when it will have been.
fn is_overdue(world: &mut World, key: &Key, job: &Value) -> bool {
    let Some(limit) = seconds(job, "/spec/activeDeadlineSeconds") else { return false };
    let started = job.pointer("/status/startTime").and_then(Value::as_str).and_then(|at| at.parse().ok());
    let now = world.now().parse::<jiff::Timestamp>().ok();
    let worked = now.zip(started).and_then(|(now, at)| Duration::try_from(now.duration_since(at)).ok());
    match worked {
        Some(worked) if worked >= limit => true,
        Some(_) => false,
        None => {
            world.plan(Step::Look(key.clone()), limit + world.model.controller);
            false
        }
    }
}

fn forget_retry(job: &mut Value) {
    if let Some(annotations) = job.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.shift_remove("rehearsal/retry");
    }
}

/// Makes so many pods; returns how many it could make.
fn create(world: &mut World, key: &Key, job: &Value, count: u64) -> u64 {
    let template = job.pointer("/spec/template").cloned().unwrap_or_default();
    let mut made = 0;
    for _ in 0..count {
        let name = format!("{}-{}", key.name, letters(world.number()));
        // Told by the event alone: the Job goes on trying.
        made += u64::from(make_pod(world, job, &name, &template, &[]).is_ok());
    }
    made
}
