//! Sending objects: server-side apply with strict field validation, and deletion for replacement.

use std::time::Duration;

use http_body_util::BodyExt as _;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::Request;
use kube::{Resource as _, core::Status};
use serde_json::Value;

use super::connect::{REQUEST_TIMEOUT, timed};
use super::kinds::ServedKind;
use super::{Cluster, ClusterError, FIELD_MANAGER};
use crate::manifest::managed_fields::without_client_side;
use crate::plan::conflict::Conflict;

/// The server's answer to an apply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Whether the object did not exist before.
    pub created: bool,
    /// The object as it is now.
    pub live: Value,
}

/// Why an object was not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// It may work a little later: an overloaded or starting server, a webhook that does not answer yet, a namespace
    /// that is still being deleted.
    #[error("{reason}")]
    Later {
        /// What the server says, shortened to one line.
        reason: String,
        /// How long the server asks us to wait (`Retry-After`).
        wait: Option<Duration>,
    },
    /// Other field managers hold fields that we want to set differently.
    #[error("{}", several(.0))]
    Conflict(Vec<Conflict>),
    /// A field cannot be changed in place.
    #[error("{0}")]
    Immutable(String),
    /// A field cannot be changed in place, and the object is not this environment's to delete.
    #[error("{0}; it was not made by this environment, so it is not deleted")]
    Foreign(String),
    /// The server will not take it as it is.
    #[error("{0}")]
    Refused(String),
    /// The server does not let us.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// Another cluster answers than at the start; nothing was sent to it.
    #[error("{0}")]
    WrongCluster(String),
}

/// A message of the API server's validation without the whole values that it quotes: `Invalid value: {…}` repeats a pod
/// template of pages, where the words after it say what is wrong.
fn without_values(message: &str) -> String {
    const BEFORE: &str = "Invalid value: ";
    let mut parts = message.split(BEFORE);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(BEFORE);
        let (value, rest) = part.split_at(value_length(part));
        out.push_str(if value.len() > LONG_VALUE { "…" } else { value });
        out.push_str(rest);
    }
    out
}

/// Longest quoted value that is repeated in a message, in bytes.
const LONG_VALUE: usize = 120;

/// Bytes of the JSON list or mapping at the start of a text; 0 when there is none that ends.
fn value_length(text: &str) -> usize {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && !quoted {
            return if letter == '}' || letter == ']' { at + 1 } else { 0 };
        }
    }
    0
}

/// Conflicts that are told one by one.
const SHOWN: usize = 5;

fn several(conflicts: &[Conflict]) -> String {
    let mut told: Vec<String> = conflicts.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = conflicts.len().saturating_sub(SHOWN);
    told.extend((more > 0).then(|| format!("and {more} more")));
    told.join("; ")
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// Sorts an error status into what can be done about it. The texts are those of Kubernetes' own validation and
/// admission code; the causes of a conflict are `FieldManagerConflict` with the field and a message naming the manager.
fn classify(status: &Status, wait: Option<Duration>) -> ApplyError {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    let message = if status.message.is_empty() {
        format!("the API server answered {}", status.code)
    } else {
        without_values(&status.message)
    };
    let later = |reason: &str| ApplyError::Later { reason: first_line(reason), wait };
    match status.code {
        409 if causes.iter().any(|cause| cause.reason == "FieldManagerConflict") => {
            ApplyError::Conflict(causes.iter().map(|cause| Conflict::of(&cause.field, &cause.message)).collect())
        }
        // The object changed while the server was merging.
        409 => later(&message),
        403 if message.contains("because it is being terminated") => later(&message),
        // Admission (quotas, limits, policies, webhooks) says 403 as well: there the object is refused, not the person.
        403 if [
            "exceeded quota",
            "denied the request",
            "denied request",
            "violates PodSecurity",
            "failed quota",
            " usage per ",
        ]
        .iter()
        .any(|sign| message.contains(sign)) =>
        {
            ApplyError::Refused(message)
        }
        // The admission of claims that would grow: their class does not let them.
        403 if message.contains("must support resize") => ApplyError::Immutable(message),
        401 | 403 => ApplyError::Forbidden(message),
        // Discovery or the namespace has not reached this API server yet.
        404 => later(&message),
        422 if [
            "immutable",
            "Forbidden: updates to ",
            "may not change",
            "cannot change roleRef",
            "may not be changed",
            "can not be less than",
            "can only be modified in tandem",
        ]
        .iter()
        .any(|sign| message.contains(sign)) =>
        {
            ApplyError::Immutable(message)
        }
        // The API server answers an unknown or wrongly typed field in an apply with 500.
        // With a value of the right type that cannot be read (base64, a quantity, a time) it gets one step further.
        500 if [
            "failed to create typed patch object",
            "field not declared",
            "unable to convert unstructured object",
        ]
        .iter()
        .any(|sign| message.contains(sign)) =>
        {
            ApplyError::Refused(message)
        }
        408 | 429 | 500 | 502 | 503 | 504 => later(&message),
        _ => ApplyError::Refused(message),
    }
}

fn url_path(kind: &ServedKind, namespace: Option<&str>) -> String {
    DynamicObject::url_path(&kind.resource, namespace.filter(|_| kind.namespaced))
}

fn name_of(body: &Value) -> (&str, Option<&str>) {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    (text("/metadata/name").unwrap_or_default(), text("/metadata/namespace"))
}

/// Sends one object by server-side apply. Fields that the server's schema does not know are an error, never dropped.
///
/// # Errors
/// See [`ApplyError`]; nothing is retried here.
pub async fn apply(cluster: &Cluster, kind: &ServedKind, body: &Value, force: bool) -> Result<Reply, ApplyError> {
    send(cluster, kind, body, PatchParams { force, ..PatchParams::apply(FIELD_MANAGER) }).await
}

/// The same as a dry run (`dryRun=All`): the answer is what would be stored, and nothing is.
///
/// # Errors
/// See [`apply`].
pub async fn try_apply(cluster: &Cluster, kind: &ServedKind, body: &Value, force: bool) -> Result<Reply, ApplyError> {
    send(cluster, kind, body, PatchParams { force, dry_run: true, ..PatchParams::apply(FIELD_MANAGER) }).await
}

/// Asks whether the API server would take an object if nothing of its name were there: before that is deleted, it must be sure
/// that what comes in its place is valid. Only what validation says counts; a quota, an address or a port that is still in use
/// and the rules of webhooks may look different once the former object is gone.
///
/// # Errors
/// [`ApplyError::Refused`], and [`ApplyError::Later`] when the server has no answer now.
pub async fn would_be_valid(cluster: &Cluster, kind: &ServedKind, body: &Value, name: &str) -> Result<(), ApplyError> {
    let mut body = body.clone();
    let beginning: String = name.chars().take(NAME_BEGINNING).collect();
    body["metadata"]["name"] = format!("{}-dry-run", beginning.trim_end_matches(['-', '.'])).into();
    match try_apply(cluster, kind, &body, true).await {
        Err(ApplyError::Refused(message) | ApplyError::Immutable(message)) if is_validation(&message) => {
            Err(ApplyError::Refused(message))
        }
        // Nothing is known yet. A webhook that does not answer may be the very one that waits for this object.
        Err(ApplyError::Later { reason, wait }) if !reason.contains("webhook") => {
            Err(ApplyError::Later { reason, wait })
        }
        _ => Ok(()),
    }
}

/// So much of a name leaves room for more within 63 characters.
const NAME_BEGINNING: usize = 40;

/// Whether a refusal is one of the schema or the kind's own validation.
fn is_validation(message: &str) -> bool {
    let validation =
        [" is invalid: ", "failed to create typed patch object", "strict decoding error", "unable to convert"];
    validation.iter().any(|sign| message.contains(sign)) && !message.contains("already allocated")
}

async fn send(cluster: &Cluster, kind: &ServedKind, body: &Value, params: PatchParams) -> Result<Reply, ApplyError> {
    let (name, namespace) = name_of(body);
    let params = params.validation_strict();
    let request = Request::new(url_path(kind, namespace))
        .patch(name, &params, &Patch::Apply(body))
        .map_err(|error| ApplyError::Refused(error.to_string()))?;
    let later = |reason: String| ApplyError::Later { reason, wait: None };
    let exchange = async {
        let response = cluster.client.send(request.map(kube::client::Body::from)).await?;
        let (parts, stream) = response.into_parts();
        let bytes = stream.collect().await?.to_bytes();
        Ok((parts, bytes))
    };
    let (parts, bytes) = timed(&cluster.server, exchange).await.map_err(|error| later(error.to_string()))?;
    if parts.status.is_success() {
        let live = serde_json::from_slice(&bytes)
            .map_err(|error| later(format!("the API server's answer cannot be read: {error}")))?;
        return Ok(Reply { created: parts.status == http::StatusCode::CREATED, live });
    }
    let wait = parts
        .headers
        .get(http::header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse().ok())
        .map(Duration::from_secs);
    let mut status = serde_json::from_slice::<Status>(&bytes)
        .unwrap_or_else(|_| Status { message: first_line(&String::from_utf8_lossy(&bytes)), ..Status::default() });
    status.code = parts.status.as_u16();
    Err(classify(&status, wait))
}

/// Makes what `kubectl apply` holds in a live object ours, so that the next apply removes what the kit does not have. The version
/// is a precondition: when somebody writes in between, it is read and tried again. Returns the object as it is then.
///
/// # Errors
/// When the server refuses, or somebody writes all the time.
pub async fn take_client_side(cluster: &Cluster, kind: &ServedKind, mut live: Value) -> Result<Value, ClusterError> {
    let (name, namespace) = name_of(&live);
    let (name, api) = (name.to_owned(), cluster.api(kind, namespace));
    for _ in 0..ATTEMPTS {
        let Some(fields) = without_client_side(&live, FIELD_MANAGER) else { return Ok(live) };
        let version = live.pointer("/metadata/resourceVersion");
        let patch = serde_json::json!({"metadata": {"resourceVersion": version, "managedFields": fields}});
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let answer = match timed(&cluster.server, api.patch(&name, &params, &Patch::Merge(&patch))).await {
            Err(ClusterError::Status { code: 409, .. }) => timed(&cluster.server, api.get(&name)).await?,
            answer => answer?,
        };
        live = serde_json::to_value(answer).unwrap_or_default();
    }
    Err(ClusterError::Status { code: 503, reason: "Conflict".into(), message: format!("{name} changes all the time") })
}

/// How often a write with a precondition is tried.
const ATTEMPTS: usize = 5;

/// Deletes an object (that with this UID) so that it can be made again, and waits until it is gone: with everything it owns, or
/// with `orphan` without.
///
/// # Errors
/// When the server refuses, or the object (with the same UID) is still there after `limit`.
pub async fn delete_and_wait(
    cluster: &Cluster,
    kind: &ServedKind,
    live: &Value,
    orphan: bool,
    limit: Duration,
) -> Result<(), ClusterError> {
    let (name, namespace) = name_of(live);
    let uid = live.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned);
    let api = cluster.api(kind, namespace);
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: uid.clone(), resource_version: None }),
        ..if orphan { DeleteParams::orphan() } else { DeleteParams::foreground() }
    };
    match timed(&cluster.server, api.delete(name, &params)).await {
        Ok(_) | Err(ClusterError::Status { code: 404, .. }) => {}
        Err(error) => return Err(error),
    }
    let gone = async {
        let mut pause = Duration::from_millis(50);
        loop {
            match timed(&cluster.server, api.get_metadata_opt(name)).await {
                Ok(None) => return,
                Ok(Some(found)) if found.metadata.uid != uid => return,
                Ok(Some(_)) | Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    };
    tokio::time::timeout(limit.max(REQUEST_TIMEOUT), gone).await.map_err(|_| ClusterError::Status {
        code: 409,
        reason: "Terminating".into(),
        message: format!("{name} is still being deleted"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::StatusCode;
    use serde_json::json;

    use super::*;
    use crate::cluster::mock::{cluster, failure};

    fn status(code: u16, message: &str) -> Status {
        let mut status = Status::failure(message, "");
        status.code = code;
        status
    }

    #[test]
    fn statuses_are_sorted_by_what_can_be_done() {
        let later = |code, message: &str| {
            assert!(matches!(classify(&status(code, message), None), ApplyError::Later { .. }), "{code} {message}");
        };
        later(409, "the object has been modified");
        later(
            403,
            "namespaces \"a\" is forbidden: unable to create new content in namespace a because it is being terminated",
        );
        later(500, "Internal error occurred: failed calling webhook \"x\": connection refused");
        later(429, "too many requests");
        later(503, "");
        assert!(matches!(classify(&status(403, "secrets is forbidden"), None), ApplyError::Forbidden(_)));
        assert!(matches!(
            classify(&status(422, "Job.batch \"a\" is invalid: spec.template: field is immutable"), None),
            ApplyError::Immutable(_)
        ));
        for message in [
            "ResourceQuota \"a\" is invalid: spec.scopes: Invalid value: [\"b\"]: field is immutable",
            "Deployment.apps \"a\" is invalid: spec: Forbidden: updates to statefulset spec are forbidden",
            "Service \"a\" is invalid: spec.clusterIPs[0]: Invalid value: \"None\": may not change once set",
            "PersistentVolume \"a\" is invalid: spec: may only be modified: can only be modified in tandem with the claim",
        ] {
            assert!(matches!(classify(&status(422, message), None), ApplyError::Immutable(_)), "{message}");
        }
        let typed = "failed to create typed patch object (a/api; apps/v1, Kind=Deployment): .spec.x: field not declared in schema";
        assert!(matches!(classify(&status(500, typed), None), ApplyError::Refused(_)));
        let value = "failed to convert new object (a/x; /v1, Kind=Secret) to proper version: unable to convert unstructured object \
                     to /v1, Kind=Secret: error decoding from json: illegal base64 data at input byte 4";
        assert!(matches!(classify(&status(500, value), None), ApplyError::Refused(_)));
        assert!(matches!(
            classify(&status(400, "failed to create typed patch object: .spec.x: field not declared in schema"), None),
            ApplyError::Refused(_)
        ));
    }

    /// Before an object is deleted to be made anew, no answer is no yes.
    #[tokio::test(start_paused = true)]
    async fn what_was_not_answered_is_not_valid_yet() {
        let kinds = [("v1", "Service", "services", true)];
        let body = json!({"metadata": {"name": "db", "namespace": "shop"}});
        let valid = async |code: StatusCode, message: &'static str| {
            let answer = ("/api/v1/namespaces/shop/services/db-dry-run", code, failure(code.as_u16(), message));
            let (cluster, asked) = cluster(&kinds, vec![answer]);
            let kind = cluster.kinds.get("v1", "Service").unwrap().clone();
            let result = would_be_valid(&cluster, &kind, &body, "db").await;
            assert!(asked.lock().unwrap().iter().all(|asked| asked.contains("dryRun=All")), "nothing is written");
            result
        };
        for code in [StatusCode::TOO_MANY_REQUESTS, StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE]
        {
            assert!(matches!(valid(code, "etcdserver: no leader").await, Err(ApplyError::Later { .. })), "{code}");
        }
        let invalid = "Service \"db-dry-run\" is invalid: spec.ports: Required value";
        assert!(matches!(valid(StatusCode::UNPROCESSABLE_ENTITY, invalid).await, Err(ApplyError::Refused(_))));
        let webhook = "failed calling webhook \"a.b\": connection refused";
        assert!(valid(StatusCode::INTERNAL_SERVER_ERROR, webhook).await.is_ok(), "it may wait for this very object");
        assert!(
            valid(StatusCode::FORBIDDEN, "exceeded quota: small").await.is_ok(),
            "there is room once the old one is gone"
        );
    }

    #[test]
    fn pages_of_quoted_values_are_left_out() {
        let template = format!("{{\"a\":[\"}}\\\"{}\"]}}", "x".repeat(200));
        let message =
            format!("spec.template: Invalid value: {template}: field is immutable, name: Invalid value: \"b\": bad");
        assert_eq!(
            without_values(&message),
            "spec.template: Invalid value: …: field is immutable, name: Invalid value: \"b\": bad"
        );
        for kept in ["labels: Invalid value: {\"a\":\"c\"}: no", "x: Invalid value: {\"a\"", "Invalid value: ", "}{"] {
            assert_eq!(without_values(kept), kept);
        }
    }

    #[test]
    fn a_conflict_names_field_and_manager() {
        let mut conflict = status(409, "Apply failed with 1 conflict");
        conflict.details = Some(
            serde_json::from_value(serde_json::json!({"causes": [{
                "reason": "FieldManagerConflict", "field": ".spec.replicas", "message": "conflict with \"kubectl\""
            }]}))
            .unwrap(),
        );
        assert_eq!(classify(&conflict, None).to_string(), "spec.replicas is held by kubectl, and differs");
    }
}
