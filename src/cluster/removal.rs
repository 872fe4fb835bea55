//! Deleting: one object, by its UID, until it is gone; and waiting for the pods of what was deleted.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::connect::timed;
use super::kinds::ServedKind;
use super::observe::list;
use super::{Cluster, ClusterError, FIELD_MANAGER, members};
use crate::manifest::ObjectKey;
use crate::manifest::references::is_builtin_group;
use crate::plan::removal::{Reason, is_workload};

/// First and longest pause between two looks.
const SOON: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_secs(1);

/// Why an object is not gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemovalError {
    /// The cluster does not let us, or refuses.
    #[error("{0}")]
    Cluster(#[from] ClusterError),
    /// It was asked to go and is still there after all the time it had.
    #[error("{0}")]
    Stuck(String),
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Names on one line.
fn names(list: Option<&Value>) -> String {
    let names = list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    names.collect::<Vec<_>>().join(", ")
}

/// What a dying object waits for, from its metadata.
fn holds(key: &ObjectKey, live: &Value) -> String {
    match names(live.pointer("/metadata/finalizers")).as_str() {
        "" => format!("{key} is being deleted"),
        "foregroundDeletion" if is_workload(key) => format!("{key} is being deleted, its pods first"),
        finalizers => format!("{key} is being deleted and waits for {finalizers}"),
    }
}

/// Deletes an object, and only the one with this UID, and waits until it is gone. What runs pods goes after them. Whatever
/// cannot be reached for a moment is asked again. `note` hears what is waited for, whenever that changes.
///
/// # Errors
/// When the cluster refuses, or the object is still there after `limit`.
pub async fn remove(
    cluster: &Cluster,
    key: &ObjectKey,
    uid: &str,
    limit: Duration,
    note: impl Fn(&str),
) -> Result<(), RemovalError> {
    let Some(kind) = cluster.kinds.stable(&key.group, &key.kind) else { return Ok(()) };
    let deadline = Instant::now() + limit;
    if key.group == "apps" && key.kind == "StatefulSet" {
        release_claims(cluster, kind, key, uid, deadline).await?;
    }
    if may_own_claims(key)
        && let Some(claim) = patiently(deadline, || owned_claim(cluster, key.namespace.as_deref(), uid)).await?
    {
        return Err(RemovalError::Stuck(format!("{}, so it was not deleted", Reason::Owns(claim))));
    }
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..if is_workload(key) { DeleteParams::foreground() } else { DeleteParams::background() }
    };
    let api = cluster.api(kind, key.namespace.as_deref());
    let (mut asked, mut pause) = (false, SOON);
    let mut waits = Waits::new(note);
    loop {
        if !asked {
            let deleted = match cluster.verify_before_write().await {
                Ok(()) => timed(&cluster.server, api.delete(&key.name, &params)).await,
                Err(error) => Err(error),
            };
            match deleted {
                Ok(_) => asked = true,
                // Gone, or another one is there by that name now.
                Err(ClusterError::Status { code: 404 | 409, .. }) => asked = true,
                Err(error) if error.is_transient() => waits.reason = error.to_string(),
                Err(error) => return Err(error.into()),
            }
        }
        if asked {
            match members::read(cluster, key, false).await {
                Ok(None) => return Ok(()),
                Ok(Some(live)) if text(&live, "/metadata/uid") != uid => return Ok(()),
                Ok(Some(live)) => {
                    // A conflict that was no matter of the UID: it has to be asked again.
                    asked = live.pointer("/metadata/deletionTimestamp").is_some();
                    waits.reason = holds(key, &live);
                }
                Err(error) if error.is_transient() => waits.reason = error.to_string(),
                Err(error) => return Err(error.into()),
            }
        }
        if Instant::now() >= deadline {
            return Err(RemovalError::Stuck(waits.reason));
        }
        waits.tell();
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LATER);
    }
}

/// Asks a question again for as long as it is not answered for a moment, until the deadline.
async fn patiently<T, F>(deadline: Instant, ask: impl Fn() -> F) -> Result<T, ClusterError>
where
    F: Future<Output = Result<T, ClusterError>>,
{
    let mut pause = SOON;
    loop {
        match ask().await {
            Err(error) if error.is_transient() && Instant::now() < deadline => {}
            answer => return answer,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LATER);
    }
}

/// What is waited for, told when it lasts and whenever it changes.
struct Waits<F: Fn(&str)> {
    began: Instant,
    reason: String,
    told: String,
    note: F,
}

impl<F: Fn(&str)> Waits<F> {
    fn new(note: F) -> Self {
        Self { began: Instant::now(), reason: String::new(), told: String::new(), note }
    }

    fn tell(&mut self) {
        if self.began.elapsed() >= LATER && self.told != self.reason {
            (self.note)(&self.reason);
            self.told.clone_from(&self.reason);
        }
    }
}

/// Whether objects of a kind may own claims that Kubernetes would then delete with them: the custom resources of operators.
/// StatefulSets are told to let go of theirs first.
pub fn may_own_claims(key: &ObjectKey) -> bool {
    !is_builtin_group(&key.group)
}

/// A claim that would be deleted with the object of this UID, as it owns it.
///
/// # Errors
/// When the cluster does not answer, or claims may not be listed: what it owns is not known then, and it has to stay.
pub async fn owned_claim(
    cluster: &Cluster,
    namespace: Option<&str>,
    uid: &str,
) -> Result<Option<String>, ClusterError> {
    let Some(claims) = cluster.kinds.stable("", "PersistentVolumeClaim") else { return Ok(None) };
    let found = list(cluster, claims, namespace, None, true).await?;
    let owned = found.iter().find(|claim| owners(claim).any(|owner| owner == uid));
    Ok(owned.map(|claim| text(claim, "/metadata/name").to_owned()))
}

/// A StatefulSet may be told to take its claims with it (`persistentVolumeClaimRetentionPolicy`). It is told otherwise first,
/// and deleted only when its controller has let go of them.
async fn release_claims(
    cluster: &Cluster,
    kind: &ServedKind,
    key: &ObjectKey,
    uid: &str,
    deadline: Instant,
) -> Result<(), RemovalError> {
    let namespace = key.namespace.as_deref();
    let Some(live) = patiently(deadline, || members::read(cluster, key, true)).await? else { return Ok(()) };
    let policy = "/spec/persistentVolumeClaimRetentionPolicy";
    let takes = |when: &str| text(&live, &format!("{policy}/{when}")) == "Delete";
    if text(&live, "/metadata/uid") != uid || !(takes("whenDeleted") || takes("whenScaled")) {
        return Ok(());
    }
    let retain = json!({
        "metadata": {"uid": uid},
        "spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"}},
    });
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let patch = Patch::Merge(&retain);
    timed(&cluster.server, cluster.api(kind, namespace).patch(&key.name, &params, &patch)).await?;
    let Some(claims) = cluster.kinds.stable("", "PersistentVolumeClaim").cloned() else { return Ok(()) };
    loop {
        let held: Vec<Value> = list(cluster, &claims, namespace, None, true).await?;
        let held: Vec<&str> = held
            .iter()
            .filter(|claim| owners(claim).any(|owner| owner == uid))
            .map(|claim| text(claim, "/metadata/name"))
            .collect();
        if held.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(RemovalError::Stuck(format!(
                "{key} still owns {}, which would go with it, so it was not deleted",
                held.join(", ")
            )));
        }
        tokio::time::sleep(LATER).await;
    }
}

/// UIDs of the owners of an object.
fn owners(live: &Value) -> impl Iterator<Item = &str> {
    let owners = live.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().filter_map(|owner| owner.get("uid")?.as_str())
}

/// The UIDs of workloads with those of the ReplicaSets and Jobs that they own: whoever may own a pod.
///
/// # Errors
/// When the cluster does not answer or does not let us list them.
pub async fn with_owned(
    cluster: &Cluster,
    namespaces: &BTreeSet<String>,
    workloads: HashSet<String>,
) -> Result<HashSet<String>, ClusterError> {
    let mut all = workloads;
    for namespace in namespaces {
        for (group, kind) in [("apps", "ReplicaSet"), ("batch", "Job")] {
            let Some(kind) = cluster.kinds.stable(group, kind) else { continue };
            for live in list(cluster, kind, Some(namespace), None, true).await? {
                if owners(&live).any(|owner| all.contains(owner)) {
                    all.insert(text(&live, "/metadata/uid").to_owned());
                }
            }
        }
    }
    Ok(all)
}

/// Waits until no pod of these owners is left, so that whatever it had open is closed.
///
/// # Errors
/// When the cluster refuses, or pods are still there after `limit`.
pub async fn pods_gone(
    cluster: &Cluster,
    namespaces: &BTreeSet<String>,
    owning: &HashSet<String>,
    limit: Duration,
    note: impl Fn(&str),
) -> Result<(), RemovalError> {
    let Some(pods) = cluster.kinds.stable("", "Pod") else { return Ok(()) };
    let deadline = Instant::now() + limit;
    let mut pause = SOON;
    let mut waits = Waits::new(note);
    loop {
        let mut left = Vec::new();
        let mut unknown = None;
        for namespace in namespaces {
            match list(cluster, pods, Some(namespace), None, true).await {
                Ok(found) => {
                    let ours = found.iter().filter(|pod| owners(pod).any(|owner| owning.contains(owner)));
                    left.extend(ours.map(|pod| text(pod, "/metadata/name").to_owned()));
                }
                Err(error) if error.is_transient() => unknown = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        waits.reason = match &unknown {
            Some(error) => error.to_string(),
            None if left.is_empty() => return Ok(()),
            None => format!("still running: {}", left.join(", ")),
        };
        if Instant::now() >= deadline {
            return Err(RemovalError::Stuck(waits.reason));
        }
        waits.tell();
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LATER);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use http::StatusCode;

    use super::*;
    use crate::cluster::mock::{cluster, failure};

    const KINDS: [(&str, &str, &str, bool); 2] = [
        ("acid.zalan.do/v1", "postgresql", "postgresqls", true),
        ("v1", "PersistentVolumeClaim", "persistentvolumeclaims", true),
    ];

    #[tokio::test(start_paused = true)]
    async fn a_custom_resource_whose_claims_cannot_be_seen_stays() {
        let key = ObjectKey {
            group: "acid.zalan.do".into(),
            kind: "postgresql".into(),
            namespace: Some("shop".into()),
            name: "db".into(),
        };
        let owned = json!({"items": [{"metadata": {"name": "pgdata-db-0", "ownerReferences": [{"uid": "u"}]}}]});
        let claims = "/api/v1/namespaces/shop/persistentvolumeclaims";
        let remove = async |status: StatusCode, body: Value| {
            let object = "/apis/acid.zalan.do/v1/namespaces/shop/postgresqls/db";
            let (cluster, asked) = cluster(&KINDS, vec![(claims, status, body), (object, StatusCode::OK, json!({}))]);
            let result = remove(&cluster, &key, "u", Duration::from_secs(1), |_| ()).await;
            let deleted = asked.lock().unwrap().iter().any(|asked| asked.starts_with("DELETE"));
            (result.err().map(|error| error.to_string()), deleted)
        };
        let (error, deleted) = remove(StatusCode::FORBIDDEN, failure(403, "claims are not yours to list")).await;
        assert!(error.expect("it fails").contains("claims are not yours to list") && !deleted);
        let (error, deleted) = remove(StatusCode::INTERNAL_SERVER_ERROR, failure(500, "no store")).await;
        assert!(error.expect("it fails").contains("no store") && !deleted);
        let (error, deleted) = remove(StatusCode::OK, owned).await;
        assert!(error.expect("it fails").contains("pgdata-db-0") && !deleted);
        let (_, deleted) = remove(StatusCode::OK, json!({"items": []})).await;
        assert!(deleted, "one that owns none goes");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_deleted_in_another_cluster() {
        let key = ObjectKey {
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: Some("shop".into()),
            name: "a".into(),
        };
        let other = json!({"metadata": {"uid": "two"}});
        let answers = vec![
            ("/api/v1/namespaces/kube-system", StatusCode::OK, other),
            ("/api/v1/namespaces/shop", StatusCode::NOT_FOUND, failure(404, "gone")),
        ];
        let (cluster, asked) = cluster(&[("v1", "ConfigMap", "configmaps", true)], answers);
        let error = remove(&cluster, &key, "u", Duration::from_secs(1), |_| ()).await.expect_err("another one answers");
        assert!(matches!(error, RemovalError::Cluster(ClusterError::WrongCluster { .. })), "{error}");
        assert!(!asked.lock().unwrap().iter().any(|asked| asked.starts_with("DELETE")));
    }
}
