//! Claims and volumes: reading them, and the policy that decides what becomes of a volume when its claim goes.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::connect::timed;
use super::observe::list;
use super::{Cluster, ClusterError, FIELD_MANAGER, members};
use crate::manifest::ObjectKey;

/// The key of a volume.
pub fn volume_key(name: &str) -> ObjectKey {
    ObjectKey { group: String::new(), kind: "PersistentVolume".into(), namespace: None, name: name.to_owned() }
}

/// The key of a claim.
pub fn claim_key(namespace: &str, name: &str) -> ObjectKey {
    let kind = "PersistentVolumeClaim".into();
    ObjectKey { group: String::new(), kind, namespace: Some(namespace.to_owned()), name: name.to_owned() }
}

/// Where the bytes of a volume are, by the fields of its `spec` that say so: all but those that every type of volume has.
pub fn source(volume: &Value) -> impl Iterator<Item = (&str, &Value)> {
    const COMMON: [&str; 9] = [
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    ];
    let fields = volume.get("spec").and_then(Value::as_object).into_iter().flatten();
    fields.map(|(name, value)| (name.as_str(), value)).filter(|(name, _)| !COMMON.contains(name))
}

/// All claims of some namespaces.
///
/// # Errors
/// When the cluster does not answer or does not let us list them.
pub async fn claims(cluster: &Cluster, namespaces: &BTreeSet<String>) -> Result<Vec<Value>, ClusterError> {
    let Some(kind) = cluster.kinds.stable("", "PersistentVolumeClaim") else { return Ok(Vec::new()) };
    let mut claims = Vec::new();
    for namespace in namespaces {
        claims.extend(list(cluster, kind, Some(namespace), None, false).await?);
    }
    Ok(claims)
}

/// The names of all volumes.
///
/// # Errors
/// When the cluster does not answer or does not let us list them.
pub async fn names(cluster: &Cluster) -> Result<BTreeSet<String>, ClusterError> {
    let Some(kind) = cluster.kinds.stable("", "PersistentVolume") else { return Ok(BTreeSet::new()) };
    let volumes = list(cluster, kind, None, None, true).await?;
    let names = volumes.iter().filter_map(|volume| volume.pointer("/metadata/name")?.as_str());
    Ok(names.map(str::to_owned).collect())
}

/// Volumes by name; one that is not there is left out.
///
/// # Errors
/// When the cluster does not answer or does not let us read one.
pub async fn volumes<'a>(
    cluster: &Cluster,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeMap<String, Value>, ClusterError> {
    let mut volumes = BTreeMap::new();
    for name in names {
        if let Some(volume) = members::read(cluster, &volume_key(name), true).await? {
            volumes.insert(name.to_owned(), volume);
        }
    }
    Ok(volumes)
}

/// The policy that decides what becomes of a volume when its claim goes.
pub fn reclaim_policy(volume: &Value) -> &str {
    volume.pointer("/spec/persistentVolumeReclaimPolicy").and_then(Value::as_str).unwrap_or_default()
}

/// Sets the policy `Retain` of the volume with this UID, and returns the volume as it is read back afterwards; nothing when it
/// does not keep it.
///
/// # Errors
/// As [`set_policy`].
pub async fn retain(cluster: &Cluster, name: &str, uid: &str) -> Result<Option<Value>, ClusterError> {
    let read = set_policy(cluster, name, uid, "Retain").await?;
    Ok(read.filter(|volume| reclaim_policy(volume) == "Retain"))
}

/// Sets the reclaim policy of the volume with this UID, and returns the volume as it is read back afterwards.
///
/// # Errors
/// When the cluster refuses it, there is another volume of that name, or another cluster answers.
pub async fn set_policy(cluster: &Cluster, name: &str, uid: &str, policy: &str) -> Result<Option<Value>, ClusterError> {
    let key = volume_key(name);
    let Some(kind) = cluster.kinds.stable(&key.group, &key.kind) else { return Ok(None) };
    let body = json!({"metadata": {"uid": uid}, "spec": {"persistentVolumeReclaimPolicy": policy}});
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let patch = Patch::Merge(&body);
    cluster.verify_before_write().await?;
    timed(&cluster.server, cluster.api(kind, None).patch(name, &params, &patch)).await?;
    members::read(cluster, &key, true).await
}
