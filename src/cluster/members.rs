//! Finding what belongs to an environment by what the cluster says, not by the kit.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kube::Resource as _;
use kube::api::DynamicObject;
use kube::core::Request;
use serde_json::Value;

use super::connect::patiently;
use super::kinds::ServedKind;
use super::observe::{list, live_key};
use super::{Cluster, ClusterError};
use crate::manifest::ObjectKey;
use crate::manifest::references::is_builtin_group;

/// Requests under way at once.
const CONCURRENCY: usize = 8;

/// What was found by labels.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The metadata of each object.
    pub objects: BTreeMap<ObjectKey, Value>,
    /// Kinds that could not be listed.
    pub unread: Vec<String>,
}

/// Whether a kind is worth a LIST: events are only told of things, and there are thousands.
fn is_worth(kind: &ServedKind) -> bool {
    kind.resource.kind != "Event"
}

/// Every object with these labels, whatever its kind and namespace. A kind that we may not list, or whose server is not there,
/// is named instead.
///
/// # Errors
/// When the cluster does not answer.
pub async fn labelled(cluster: &Cluster, selector: &str) -> Result<Found, ClusterError> {
    of_all_kinds(cluster, None, Some(selector)).await
}

/// Every object in a namespace.
///
/// # Errors
/// When the cluster does not answer.
pub async fn inside(cluster: &Cluster, namespace: &str) -> Result<Found, ClusterError> {
    of_all_kinds(cluster, Some(namespace), None).await
}

async fn of_all_kinds(
    cluster: &Cluster,
    namespace: Option<&str>,
    selector: Option<&str>,
) -> Result<Found, ClusterError> {
    let kinds = cluster.kinds.removable().filter(|kind| is_worth(kind) && (namespace.is_none() || kind.namespaced));
    let lists = kinds.map(|kind| async move { (kind, list(cluster, kind, namespace, selector, true).await) });
    let mut pages = stream::iter(lists).buffer_unordered(CONCURRENCY);
    let mut found = Found::default();
    while let Some((kind, page)) = pages.next().await {
        match page {
            Ok(items) => found.objects.extend(items.into_iter().map(|live| (live_key(kind, &live), live))),
            // Kubernetes' own kinds are always there; what is served by somebody else may be gone for good.
            Err(error) if error.is_transient() && is_builtin_group(&kind.resource.group) => return Err(error),
            Err(ClusterError::Forbidden(_) | ClusterError::Status { .. }) => {
                found.unread.push(kind.resource.kind.clone());
            }
            Err(error) => return Err(error),
        }
    }
    found.unread.sort();
    found.unread.dedup();
    Ok(found)
}

/// One object as it is now, only its metadata or whole; `None` when it is not there, or its kind is not served.
///
/// # Errors
/// When the cluster does not answer or does not let us read it.
pub async fn read(cluster: &Cluster, key: &ObjectKey, whole: bool) -> Result<Option<Value>, ClusterError> {
    let Some(kind) = cluster.kinds.stable(&key.group, &key.kind) else { return Ok(None) };
    let path = DynamicObject::url_path(&kind.resource, key.namespace.as_deref().filter(|_| kind.namespaced));
    let request = Request::new(path);
    let params = kube::api::GetParams::default();
    let request = if whole { request.get(&key.name, &params) } else { request.get_metadata(&key.name, &params) };
    let request = request.map_err(|error| ClusterError::Kubeconfig(error.to_string()))?;
    match patiently(&cluster.server, || cluster.client.request(request.clone())).await {
        Ok(live) => Ok(Some(live)),
        Err(ClusterError::Status { code: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The metadata of each of these objects that is there; StatefulSets come whole, for what they say of their claims.
///
/// # Errors
/// When the cluster does not answer or does not let us read one.
pub async fn read_all<'a>(
    cluster: &Cluster,
    keys: impl IntoIterator<Item = &'a ObjectKey>,
) -> Result<BTreeMap<ObjectKey, Value>, ClusterError> {
    let reads = keys.into_iter().map(|key| async move {
        let live = read(cluster, key, key.kind == "StatefulSet").await?;
        Ok::<_, ClusterError>(live.map(|live| (key.clone(), live)))
    });
    let found: Vec<_> = stream::iter(reads).buffer_unordered(CONCURRENCY).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}
