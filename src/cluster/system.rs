//! Rekindle's own namespace, where its records of environments live.

use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::connect::timed;
use super::{Cluster, ClusterError, FIELD_MANAGER, SYSTEM_NAMESPACE};

/// Label of everything in the namespace, and of the namespace itself: `app.kubernetes.io/managed-by`.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// Name of an environment's record of a sort: `inventory-staging.pr-123`; an instance is given as `ENV/INSTANCE`.
pub fn record_name(sort: &str, environment: &str) -> String {
    format!("{sort}-{}", environment.replace('/', "."))
}

/// Makes the namespace; one that is there stays as it is.
///
/// # Errors
/// When the cluster does not answer or does not let us.
pub async fn make_namespace(cluster: &Cluster) -> Result<(), ClusterError> {
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(cluster.client.clone());
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": SYSTEM_NAMESPACE, "labels": {MANAGED_BY_LABEL: "rekindle"}},
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    timed(&cluster.server, namespaces.patch(SYSTEM_NAMESPACE, &params, &Patch::Apply(&namespace))).await.map(drop)
}

/// Writes a record, and the namespace first where that is missing.
///
/// # Errors
/// Those of the write, and of making the namespace.
pub async fn with_namespace<T, F>(cluster: &Cluster, write: impl Fn() -> F) -> Result<T, ClusterError>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    match timed(&cluster.server, write()).await {
        Err(ClusterError::Status { code: 404, .. }) => {
            make_namespace(cluster).await?;
            timed(&cluster.server, write()).await
        }
        answer => answer,
    }
}
