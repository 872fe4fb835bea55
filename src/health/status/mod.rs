//! The status of any object as a pure function of the object and the objects around it.
//!
//! The order of questions is the same for every kind: is it being deleted; has its controller seen its current
//! generation; what does the rule of its kind say; and, where the kit says so, what does the annotation
//! `rekindle.dev/ready` say.

mod api;
mod cluster;
mod fields;
mod generic;
mod jobs;
mod network;
mod owned;
mod pods;
mod policy;
mod storage;
mod workloads;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::cel;
pub use api::{is_injected, lacks_bundle};
pub use fields::condition;
use fields::{items, number, one_line, text};
pub use generic::promises_status;
pub use owned::pods_of;
pub(super) use owned::{is_owned_by, owner};
pub(super) use pods::{running_unready, troubles};
pub use workloads::{missed_deadline, without_deadline};

/// The annotation whose CEL expression over `object` says when an object is ready.
pub const READY_ANNOTATION: &str = "rekindle.dev/ready";

/// What an object's own state says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Status {
    /// It does what its spec says. The reason is a remark worth showing, such as `waits for its first consumer`, or empty.
    Ready {
        /// A remark, possibly empty.
        reason: String,
    },
    /// Its controllers are at work, or have not seen it yet.
    Progressing {
        /// What is missing, e.g. `1 of 4 pods ready`.
        reason: String,
    },
    /// Something is wrong that may heal by itself; it counts as failed when it lasts longer than the grace of its cause.
    Failing {
        /// What is wrong, one sentence naming pod and container where there is one.
        reason: String,
        /// Decides how long it is given.
        cause: Cause,
    },
    /// It will not become ready without a change.
    Failed {
        /// Why, one sentence.
        reason: String,
    },
    /// It is being deleted.
    Terminating {
        /// What holds it, e.g. finalizers; may be empty.
        reason: String,
    },
}

/// Why something is failing; each has a grace of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// An image cannot be pulled; registries have bad minutes.
    Pull,
    /// A container exits again and again.
    Crash,
    /// A container cannot be made from its spec: a missing Secret, ConfigMap or key, a command that is not there.
    Config,
    /// No node takes the pod.
    Unschedulable,
    /// The API server does not let its pods be created: quota, admission, a missing ServiceAccount.
    Refused,
}

impl Status {
    /// Whether others may rely on it.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready { .. })
    }

    /// The sentence that explains it; may be empty when ready.
    pub fn reason(&self) -> &str {
        match self {
            Self::Ready { reason }
            | Self::Progressing { reason }
            | Self::Failing { reason, .. }
            | Self::Failed { reason }
            | Self::Terminating { reason } => reason,
        }
    }

    pub(super) fn ready(reason: impl Into<String>) -> Self {
        Self::Ready { reason: reason.into() }
    }

    pub(super) fn progressing(reason: impl Into<String>) -> Self {
        Self::Progressing { reason: reason.into() }
    }

    pub(super) fn failing(cause: Cause, reason: impl Into<String>) -> Self {
        Self::Failing { reason: reason.into(), cause }
    }

    pub(super) fn failed(reason: impl Into<String>) -> Self {
        Self::Failed { reason: reason.into() }
    }
}

impl fmt::Display for Status {
    /// The verdict in the three words of `rekindle health`: ready, progressing, failed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ready { .. } => "ready",
            Self::Progressing { .. } | Self::Terminating { .. } => "progressing",
            Self::Failing { .. } | Self::Failed { .. } => "failed",
        })
    }
}

/// Objects around the judged one that its verdict may need. The caller gives what it has; nothing is required.
#[derive(Clone, Copy, Debug, Default)]
pub struct Related<'a> {
    /// Pods that belong to it (for a workload: those of its current revision; see [`pods_of`]).
    pub pods: &'a [&'a Value],
    /// StorageClasses, to know which claims wait for their first consumer. Empty means that they are not known.
    pub storage_classes: &'a [&'a Value],
    /// The CustomResourceDefinition of a custom resource, to know whether a status is to be expected.
    pub crd: Option<&'a Value>,
    /// A CEL expression that overrides the kind's rule for being ready; without it, the object's own annotation
    /// [`READY_ANNOTATION`] does.
    pub ready_expression: Option<&'a str>,
}

/// The expression of an object's own annotation [`READY_ANNOTATION`].
pub fn ready_expression(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("annotations")?.get(READY_ANNOTATION)?.as_str()
}

/// Judges an object.
pub fn status(object: &Value, related: Related<'_>) -> Status {
    if text(object, "/kind").is_empty() {
        return Status::failed("not a Kubernetes object: it has no kind");
    }
    if object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null()) {
        return terminating(object);
    }
    let expression = related.ready_expression.or_else(|| ready_expression(object));
    let own = match fields::unobserved(object) {
        // Controllers of built-in kinds keep the observed generation. Some custom ones never do, and only the author
        // of an expression that reads a generation can know.
        Some(unseen) if !expression.is_some_and(|text| !is_built_in(object) && text.contains("eneration")) => {
            return match expression.map(|text| cel::check_with(text, &["object"])) {
                Some(Err(error)) => bad_expression(&error),
                _ => unseen,
            };
        }
        Some(_) => generic::status(object, related.crd, true),
        None => rule(object, related),
    };
    match expression {
        Some(expression) => override_ready(own, expression, object),
        None => own,
    }
}

/// Whether the kind belongs to Kubernetes itself, so that its controller and its rule are known.
fn is_built_in(object: &Value) -> bool {
    let group = fields::group(object);
    matches!(group, "apps" | "autoscaling" | "batch" | "extensions" | "policy")
        || group.is_empty()
        || (group.ends_with(".k8s.io")
            && matches!(
                group.trim_end_matches(".k8s.io"),
                "admissionregistration"
                    | "apiextensions"
                    | "apiregistration"
                    | "authentication"
                    | "authorization"
                    | "certificates"
                    | "coordination"
                    | "discovery"
                    | "events"
                    | "flowcontrol.apiserver"
                    | "internal.apiserver"
                    | "networking"
                    | "node"
                    | "rbac.authorization"
                    | "resource"
                    | "scheduling"
                    | "storage"
                    | "storagemigration"
            ))
}

/// The rule of the kind. The caller has asked about deletion and about a stale observed generation.
fn rule(object: &Value, related: Related<'_>) -> Status {
    match (fields::group(object), text(object, "/kind")) {
        ("apps" | "extensions", "Deployment") => workloads::deployment(object, related.pods),
        ("apps" | "extensions", "ReplicaSet") | ("", "ReplicationController") => {
            workloads::replica_set(object, related.pods)
        }
        ("apps", "StatefulSet") => workloads::stateful_set(object, related.pods),
        ("apps" | "extensions", "DaemonSet") => workloads::daemon_set(object, related.pods),
        ("batch", "Job") => jobs::job(object, related.pods),
        ("batch", "CronJob") => jobs::cron_job(object),
        ("", "Pod") => pods::pod(object),
        ("", "PersistentVolumeClaim") => storage::claim(object, related.storage_classes),
        ("", "PersistentVolume") => storage::volume(object),
        ("storage.k8s.io", "VolumeAttachment") => storage::attachment(object),
        ("", "Service") => network::service(object),
        ("networking.k8s.io" | "extensions", "Ingress") => network::ingress(object),
        ("gateway.networking.k8s.io", "GatewayClass") => network::gateway_class(object),
        ("gateway.networking.k8s.io", "Gateway") => network::gateway(object),
        ("gateway.networking.k8s.io", kind) if kind.ends_with("Route") => network::route(object),
        ("gateway.networking.k8s.io", "ReferenceGrant") => Status::ready(""),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => api::definition(object),
        ("apiregistration.k8s.io", "APIService") => api::service(object),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration") => {
            api::webhooks(object)
        }
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => api::admission_policy(object),
        ("certificates.k8s.io", "CertificateSigningRequest") => api::signing_request(object),
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => api::flow_schema(object),
        ("autoscaling", "HorizontalPodAutoscaler") => policy::autoscaler(object),
        ("policy", "PodDisruptionBudget") => policy::disruption_budget(object),
        ("", "ResourceQuota") => policy::quota(object),
        ("", "Namespace") => cluster::namespace(object),
        ("", "Node") => cluster::node(object),
        _ if is_built_in(object) => generic::built_in(object),
        _ => generic::status(object, related.crd, false),
    }
}

/// `rekindle.dev/ready` replaces the question whether the object is ready, never the finding that it has failed.
fn override_ready(own: Status, expression: &str, object: &Value) -> Status {
    if let Status::Failed { .. } = own {
        return own;
    }
    match cel::check_with(expression, &["object"]).and_then(|()| cel::eval_bool(expression, &[("object", object)])) {
        Ok(true) => Status::ready(if own.is_ready() { own.reason().to_owned() } else { String::new() }),
        Ok(false) => not_yet(own, format!("{READY_ANNOTATION} is not true yet: {}", one_line(expression))),
        Err(error) if error.is_missing() => not_yet(own, format!("{READY_ANNOTATION} is not true yet: {error}")),
        // What it reads may only not be what it will be.
        Err(error) if !error.is_lasting() => {
            not_yet(own, format!("{READY_ANNOTATION} cannot be evaluated yet: {error}"))
        }
        Err(error) => bad_expression(&error),
    }
}

fn not_yet(own: Status, reason: String) -> Status {
    match own {
        Status::Failing { .. } => own,
        Status::Progressing { reason: own } if !own.is_empty() => Status::progressing(format!("{own}; {reason}")),
        _ => Status::progressing(reason),
    }
}

fn bad_expression(error: &cel::CelError) -> Status {
    Status::failed(format!("annotation {READY_ANNOTATION}: {error}"))
}

fn terminating(object: &Value) -> Status {
    let finalizers: Vec<&str> = items(object, "/metadata/finalizers")
        .iter()
        .filter_map(Value::as_str)
        .filter(|name| !name.is_empty())
        .collect();
    let mut reason = match (finalizers.as_slice(), text(object, "/kind"), fields::group(object)) {
        ([], "Pod", "") => match number(object, "/metadata/deletionGracePeriodSeconds") {
            Some(seconds) if seconds > 0 => format!("being deleted, with {seconds} s to stop"),
            _ => "being deleted".to_owned(),
        },
        ([], ..) => "being deleted".to_owned(),
        ([one], ..) => format!("being deleted, held by finalizer {}", one_line(one)),
        (many, ..) => format!("being deleted, held by finalizers {}", one_line(&many.join(", "))),
    };
    if (fields::group(object), text(object, "/kind")) == ("", "Namespace")
        && let Some(obstacle) = cluster::namespace_obstacle(object)
    {
        reason = format!("{reason}: {obstacle}");
    }
    Status::Terminating { reason }
}
