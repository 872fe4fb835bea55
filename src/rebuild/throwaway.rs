//! Takes away what a rehearsal has made in a cluster: everything that carries the labels of its instance, the namespaces with
//! what lies in them, the volumes that were made for its claims, and its records. Nothing else is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::cluster::removal::{RemovalError, remove};
use crate::cluster::system::record_name;
use crate::cluster::volumes::{claims, set_policy, volume_key, volumes};
use crate::cluster::{Cluster, ClusterError, SYSTEM_NAMESPACE, inventory, lock, members};
use crate::data::evidence::is_provisioned;
use crate::data::memory;
use crate::manifest::ObjectKey;
use crate::plan::Plan;

/// How long a namespace with everything in it, or a volume, may take to go. While pods are left, the namespace controller looks
/// again only after half of the longest grace among them.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// Pause between two looks at volumes.
const PAUSE: Duration = Duration::from_millis(500);

/// What was taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Objects of the kit.
    pub objects: usize,
    /// Volumes that were made for its claims.
    pub volumes: usize,
}

/// Objects of a plan that are in the cluster already: what a rehearsal would have to share.
///
/// # Errors
/// When the cluster does not answer or does not let us look.
pub async fn taken(cluster: &Cluster, plan: &Plan) -> Result<Vec<ObjectKey>, ClusterError> {
    let keys: Vec<&ObjectKey> = plan.items().map(|item| &item.key).collect();
    Ok(members::read_all(cluster, keys).await?.into_keys().collect())
}

/// Whether Rekindle has ever been in the cluster.
///
/// # Errors
/// When the cluster does not answer or does not let us look.
pub async fn has_records(cluster: &Cluster) -> Result<bool, ClusterError> {
    Ok(members::read(cluster, &key("", "Namespace", None, SYSTEM_NAMESPACE), false).await?.is_some())
}

fn key(group: &str, kind: &str, namespace: Option<&str>, name: &str) -> ObjectKey {
    let (group, kind, namespace, name) = (group.into(), kind.into(), namespace.map(str::to_owned), name.into());
    ObjectKey { group, kind, namespace, name }
}

/// Takes away what the rehearsal of a plan has made, and no volume of those that were there `before`; with `records`,
/// Rekindle's own namespace as well, when nobody else has anything in it. `note` hears what is waited for.
///
/// # Errors
/// What does not go, or when the cluster does not answer.
pub async fn take_away(
    cluster: &Cluster,
    plan: &Plan,
    before: &BTreeSet<String>,
    records: bool,
    note: impl Fn(&str),
) -> Result<Removed, RemovalError> {
    cluster.verify_identity().await?;
    let members::Found { objects: found, unread } = members::labelled(cluster, &plan.selector).await?;
    // What was not seen would stay, and nobody would know.
    let hidden = |kind: &&String| *kind == "Namespace" || plan.items().any(|item| item.key.kind == **kind);
    if let Some(kind) = unread.iter().find(hidden) {
        return Err(RemovalError::Stuck(format!("objects of kind {kind} could not be listed")));
    }
    let (namespaces, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
        found.into_iter().partition(|(key, _)| key.group.is_empty() && key.kind == "Namespace");
    // A volume that was there bears the instance's marks when a claim was bound to it.
    let was_there = |key: &ObjectKey| key.kind == "PersistentVolume" && before.contains(&key.name);
    let others: BTreeMap<_, _> = others.into_iter().filter(|(key, _)| !was_there(key)).collect();
    let inside = |key: &ObjectKey| key.namespace.as_ref().is_some_and(|it| namespaces.keys().any(|ns| ns.name == *it));
    let mut removed = Removed { objects: namespaces.len() + others.len(), volumes: 0 };

    // A volume that outlives its claim would outlive the rehearsal.
    let held = claims(cluster, &namespaces.keys().map(|key| key.name.clone()).collect()).await?;
    let names = held.iter().filter_map(|claim| claim.pointer("/spec/volumeName")?.as_str());
    let held = volumes(cluster, names).await?;
    let is_new = |volume: &&Value| is_provisioned(volume) && !before.contains(name_of(volume));
    let made: Vec<&Value> = held.values().filter(is_new).collect();
    for volume in &made {
        set_policy(cluster, name_of(volume), uid_of(volume), "Delete").await?;
    }
    let gone = namespaces.iter().map(|(key, live)| remove(cluster, key, uid_of(live), LIMIT, &note));
    futures::future::try_join_all(gone).await?;
    let deadline = Instant::now() + LIMIT;
    for volume in &made {
        let key = volume_key(name_of(volume));
        while members::read(cluster, &key, false).await?.is_some_and(|live| uid_of(&live) == uid_of(volume)) {
            if Instant::now() >= deadline {
                return Err(RemovalError::Stuck(format!("{key} is not deleted by its provisioner")));
            }
            note(&format!("{key} is being deleted by its provisioner"));
            tokio::time::sleep(PAUSE).await;
        }
        removed.volumes += 1;
    }
    // Storage classes last: a provisioner may want to read them.
    for (key, live) in others.iter().filter(|(key, _)| !inside(key)) {
        remove(cluster, key, uid_of(live), LIMIT, &note).await?;
    }
    remove_records(cluster, &plan.environment, records, &note).await?;
    Ok(removed)
}

async fn remove_records(
    cluster: &Cluster,
    environment: &str,
    namespace: bool,
    note: &impl Fn(&str),
) -> Result<(), RemovalError> {
    let system = Some(SYSTEM_NAMESPACE);
    let records = [
        key("", "Secret", system, &record_name(inventory::SORT, environment)),
        key("", "Secret", system, &record_name(memory::SORT, environment)),
        key("coordination.k8s.io", "Lease", system, &record_name(lock::SORT, environment)),
    ];
    for record in &records {
        if let Some(live) = members::read(cluster, record, false).await? {
            remove(cluster, record, uid_of(&live), LIMIT, note).await?;
        }
    }
    let own = key("", "Namespace", None, SYSTEM_NAMESPACE);
    let Some(live) = members::read(cluster, &own, false).await?.filter(|_| namespace) else { return Ok(()) };
    let mut left = 0;
    for (group, kind) in [("", "Secret"), ("", "ConfigMap"), ("coordination.k8s.io", "Lease"), ("batch", "Job")] {
        let Some(served) = cluster.kinds.stable(group, kind) else { continue };
        let there = crate::cluster::observe::list(cluster, served, system, None, true).await?;
        left += there.iter().filter(|live| name_of(live) != "kube-root-ca.crt").count();
    }
    if left == 0 {
        remove(cluster, &own, uid_of(&live), LIMIT, note).await?;
    }
    Ok(())
}

fn name_of(live: &Value) -> &str {
    live.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

fn uid_of(live: &Value) -> &str {
    live.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::StatusCode;
    use serde_json::json;

    use super::*;
    use crate::cluster::mock::{cluster, failure};
    use crate::kit::sample::rendered;

    const CLASS: &str =
        "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: fast}, provisioner: none}";

    #[tokio::test(start_paused = true)]
    async fn nothing_goes_while_something_could_stay_unseen() {
        let stack = ("templates/stack.yaml", "name: test\nphases: [{name: storage}]\n");
        let plan = Plan::of(&rendered(&[stack, ("templates/storage/class.yaml", CLASS)])).unwrap();
        let kinds = [
            ("v1", "Namespace", "namespaces", false),
            ("storage.k8s.io/v1", "StorageClass", "storageclasses", false),
            ("policy.example/v1", "Other", "others", true),
        ];
        let take = async |unread: &'static str| {
            let forbidden = (unread, StatusCode::FORBIDDEN, failure(403, "not yours"));
            let class = json!({"metadata": {"name": "fast", "uid": "c"}});
            let answers = vec![
                forbidden,
                ("/api/v1/namespaces/kube-system", StatusCode::OK, json!({"metadata": {"uid": "one"}})),
                (
                    "/api/v1/namespaces?",
                    StatusCode::OK,
                    json!({"items": [{"metadata": {"name": "space", "uid": "n"}}]}),
                ),
                ("/apis/storage.k8s.io/v1/storageclasses?", StatusCode::OK, json!({"items": [class]})),
                ("/apis/policy.example/v1/others?", StatusCode::OK, json!({"items": []})),
            ];
            let (cluster, asked) = cluster(&kinds, answers);
            let result = take_away(&cluster, &plan, &BTreeSet::new(), false, |_| ()).await;
            let deleted = asked.lock().unwrap().iter().filter(|asked| asked.starts_with("DELETE")).count();
            (result.err().map(|error| error.to_string()).unwrap_or_default(), deleted)
        };
        let (error, deleted) = take("/apis/storage.k8s.io/").await;
        assert_eq!((error.contains("objects of kind StorageClass could not be listed"), deleted), (true, 0), "{error}");
        let (error, deleted) = take("/api/v1/namespaces?").await;
        assert_eq!((error.contains("objects of kind Namespace could not be listed"), deleted), (true, 0), "{error}");
        let (error, deleted) = take("/apis/policy.example/").await;
        assert_eq!((error.as_str(), deleted), ("", 2), "a kind that the kit has nothing of stands in nobody's way");
    }
}
