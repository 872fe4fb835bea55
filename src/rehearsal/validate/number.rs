//! Numbers and amounts that cannot be: fewer than none, more asked than allowed.

use serde_json::{Value, json};

use crate::manifest::schema::Kind;
use crate::plan::immutable::quantity;
use crate::rehearsal::status::FieldError;

const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

/// Fields that may not be negative, by kind, in the order in which the API server names them. Source: `Validate*Spec` of
/// Kubernetes' pkg/apis/apps/validation, pkg/apis/batch/validation and pkg/apis/core/validation.
fn counted(kind: &Kind) -> &'static [&'static str] {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment") => &["replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"],
        ("apps", "StatefulSet" | "ReplicaSet") => &["replicas", "minReadySeconds"],
        ("apps", "DaemonSet") => &["minReadySeconds", "revisionHistoryLimit"],
        ("batch", "Job") => JOB,
        ("batch", "CronJob") => &["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"],
        _ => &[],
    }
}

const JOB: &[&str] =
    &["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"];

/// What is wrong with the numbers of an object.
pub fn errors(kind: &Kind, object: &Value) -> Vec<FieldError> {
    let mut errors = negative(&object["spec"], "spec", counted(kind));
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("batch", "CronJob") => {
            let job = object.pointer("/spec/jobTemplate/spec").unwrap_or(&Value::Null);
            errors.extend(negative(job, "spec.jobTemplate.spec", JOB));
        }
        ("apps", "Deployment") => {
            let seconds = |name: &str| object["spec"].get(name).and_then(Value::as_i64);
            let deadline =
                seconds("progressDeadlineSeconds").filter(|it| *it <= seconds("minReadySeconds").unwrap_or(0));
            errors.extend(deadline.map(|deadline| {
                let detail = "must be greater than minReadySeconds";
                FieldError::invalid("spec.progressDeadlineSeconds", &json!(deadline), detail)
            }));
        }
        ("", "PersistentVolumeClaim") => {
            let storage = object.pointer("/spec/resources/requests/storage").filter(|it| !is_positive(it));
            errors.extend(storage.map(|storage| {
                FieldError::invalid("spec.resources[storage]", &text(storage), "must be greater than zero")
            }));
        }
        _ => {}
    }
    errors
}

/// What is wrong with fields at a path that may not be negative.
pub fn negative(spec: &Value, path: &str, fields: &[&str]) -> Vec<FieldError> {
    let wrong = fields.iter().filter_map(|name| {
        let number = spec.get(name)?.as_i64()?;
        // What does not fit into 32 bits keeps the last of them.
        #[expect(clippy::cast_possible_truncation, reason = "as the API server reads it")]
        let number = if name.ends_with("DeadlineSeconds") && *name != "progressDeadlineSeconds" {
            number
        } else {
            i64::from(number as i32)
        };
        (number < 0).then(|| FieldError::invalid(format!("{path}.{name}"), &json!(number), NOT_NEGATIVE))
    });
    wrong.collect()
}

/// What is wrong with the resources of a container at a path.
pub fn resources(container: &Value, path: &str) -> Vec<FieldError> {
    let amounts = |part: &str| container["resources"].get(part).and_then(Value::as_object).into_iter().flatten();
    let mut errors = Vec::new();
    for part in ["limits", "requests"] {
        for (name, amount) in amounts(part) {
            let field = format!("{path}.resources.{part}");
            if value(amount).is_some_and(|amount| amount < 0.0) {
                errors.push(FieldError::invalid(format!("{field}[{name}]"), &text(amount), NOT_NEGATIVE));
            }
            let limit = container["resources"]["limits"].get(name).filter(|_| part == "requests");
            if let Some(limit) = limit
                && value(amount) > value(limit)
            {
                let most = text(limit);
                let detail =
                    format!("must be less than or equal to {name} limit of {}", most.as_str().unwrap_or_default());
                errors.push(FieldError::invalid(field, &text(amount), &detail));
            }
        }
    }
    errors
}

/// An amount as text: one that was written as a number is told as a text, too.
fn text(amount: &Value) -> Value {
    amount.as_str().map_or_else(|| amount.to_string(), str::to_owned).into()
}

fn value(amount: &Value) -> Option<f64> {
    text(amount).as_str().and_then(quantity)
}

fn is_positive(amount: &Value) -> bool {
    value(amount).is_none_or(|amount| amount > 0.0)
}
