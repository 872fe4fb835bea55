//! What the API server refuses of what makes pods, and of what scales it. Source: Kubernetes' pkg/apis/apps/validation,
//! pkg/apis/batch/validation and pkg/apis/autoscaling/validation.

use serde_json::{Value, json};

use super::{choices, list, names, pod, schedule, volume};
use crate::rehearsal::request::selects;
use crate::rehearsal::status::FieldError;

/// What is wrong with a Deployment, StatefulSet, DaemonSet or ReplicaSet.
pub fn errors(kind: &str, spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let selector = spec.get("selector").filter(|it| it.as_object().is_some_and(|it| !it.is_empty()));
    match selector {
        None => errors.push(FieldError::required("spec.selector", "")),
        Some(selector) => {
            let labels = json!({"metadata": {"labels": spec.pointer("/template/metadata/labels")}});
            if !selects(selector, &labels) {
                errors.push(FieldError::invalid(
                    "spec.template.metadata.labels",
                    spec.pointer("/template/metadata/labels").unwrap_or(&Value::Null),
                    "`selector` does not match template `labels`",
                ));
            }
        }
    }
    let claims = list(spec, "volumeClaimTemplates").filter_map(|claim| claim.pointer("/metadata/name")?.as_str());
    errors.extend(pod::template(&spec["template"], "spec.template", claims));
    let policy = spec.pointer("/template/spec/restartPolicy").and_then(Value::as_str);
    errors.extend(policy.and_then(|policy| choices::unknown(policy, "spec.template.spec.restartPolicy", &["Always"])));
    match kind {
        "Deployment" => errors.extend(deployment(spec)),
        "StatefulSet" => errors.extend(stateful_set(spec)),
        "DaemonSet" => errors.extend(daemon_set(spec)),
        _ => {}
    }
    errors
}

/// A strategy of no known type, as the API server shows it: what belongs to one that it knows is not there.
fn shown(strategy: &Value) -> Value {
    json!({"Type": strategy["type"], "RollingUpdate": null})
}

fn word<'v>(of: &'v Value, name: &str) -> &'v str {
    of.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn deployment(spec: &Value) -> Option<FieldError> {
    let strategy = spec.get("strategy")?;
    let rolling = &strategy["rollingUpdate"];
    match word(strategy, "type") {
        "Recreate" if !rolling.is_null() => {
            let detail = "may not be specified when strategy `type` is 'Recreate'";
            Some(FieldError::forbidden("spec.strategy.rollingUpdate", detail))
        }
        "RollingUpdate" => {
            let none = |name: &str| rolling[name] == 0 || rolling[name] == "0%";
            let detail = "may not be 0 when `maxSurge` is 0";
            let field = "spec.strategy.rollingUpdate.maxUnavailable";
            (none("maxSurge") && none("maxUnavailable"))
                .then(|| FieldError::invalid(field, &rolling["maxUnavailable"], detail))
        }
        "Recreate" | "" => None,
        _ => {
            let known = ["Recreate", "RollingUpdate"];
            Some(FieldError::unsupported_value("spec.strategy", &shown(strategy), &known))
        }
    }
}

fn stateful_set(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !matches!(word(spec, "podManagementPolicy"), "" | "OrderedReady" | "Parallel") {
        let detail = "must be 'OrderedReady' or 'Parallel'";
        errors.push(FieldError::invalid("spec.podManagementPolicy", &spec["podManagementPolicy"], detail));
    }
    let strategy = &spec["updateStrategy"];
    if !matches!(word(strategy, "type"), "" | "RollingUpdate" | "OnDelete") {
        let detail = "must be 'RollingUpdate' or 'OnDelete'";
        errors.push(FieldError::invalid("spec.updateStrategy", &shown(strategy), detail));
    }
    for (index, claim) in list(spec, "volumeClaimTemplates").enumerate() {
        errors.extend(volume::of_claim(&claim["spec"], &format!("spec.volumeClaimTemplates[{index}].spec")));
    }
    errors
}

fn daemon_set(spec: &Value) -> Option<FieldError> {
    let strategy = spec.get("updateStrategy")?;
    let known = ["RollingUpdate", "OnDelete"];
    let fits = word(strategy, "type").is_empty() || known.contains(&word(strategy, "type"));
    (!fits).then(|| FieldError::unsupported_value("spec.updateStrategy", &shown(strategy), &known))
}

/// What is wrong with the spec of a CronJob.
pub fn cron_job(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match word(spec, "schedule") {
        "" => errors.push(FieldError::required("spec.schedule", "")),
        _ => errors.extend(schedule::error(&spec["schedule"])),
    }
    errors.extend(job(&spec["jobTemplate"]["spec"], "spec.jobTemplate.spec"));
    errors
}

/// What is wrong with the spec of a Job at a path.
pub fn job(spec: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let indexed = spec["completionMode"] == "Indexed";
    if indexed && spec.get("completions").is_none() {
        errors.push(FieldError::required(format!("{path}.completions"), "when completion mode is Indexed"));
    }
    if let Some(limit) = spec.get("backoffLimitPerIndex").filter(|_| !indexed) {
        let field = format!("{path}.backoffLimitPerIndex");
        errors.push(FieldError::invalid(field, limit, "requires indexed completion mode"));
    }
    let template = &spec["template"];
    errors.extend(pod::template(template, &format!("{path}.template"), None));
    let field = format!("{path}.template.spec.restartPolicy");
    match template.pointer("/spec/restartPolicy").and_then(Value::as_str).unwrap_or_default() {
        "" | "Always" => errors.push(FieldError::required(field, "valid values: \"OnFailure\", \"Never\"")),
        policy => errors.extend(choices::unknown(policy, &field, &["OnFailure", "Never"])),
    }
    errors
}

/// What is wrong with the spec of a HorizontalPodAutoscaler.
pub fn autoscaler(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let most = spec["maxReplicas"].as_i64().unwrap_or_default();
    if most < 1 {
        errors.push(FieldError::invalid("spec.maxReplicas", &json!(most), "must be greater than 0"));
    }
    if spec["minReplicas"].as_i64().is_some_and(|least| most < least) {
        let detail = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid("spec.maxReplicas", &json!(most), detail));
    }
    for field in ["kind", "name"] {
        if word(&spec["scaleTargetRef"], field).is_empty() {
            errors.push(FieldError::required(format!("spec.scaleTargetRef.{field}"), ""));
        }
    }
    errors
}

/// What is wrong with the name of a CronJob: its Jobs add eleven letters.
pub fn cron_job_name(name: &str) -> Vec<String> {
    let most = 52;
    let long = (name.len() > most).then(|| format!("must be no more than {most} characters"));
    names::subdomain(name).into_iter().chain(long).collect()
}
