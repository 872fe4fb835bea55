//! What lives in a cluster: for each environment its objects, its claims and how much they hold, so that a person sees what
//! is being protected.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::binding::Record;
use super::observe::{ENVIRONMENT_LABEL, list};
use super::{Cluster, ClusterError};

/// Kinds whose objects are looked for, namespaces first. The rest of a stack hangs on these.
const KINDS: [(&str, &str); 17] = [
    ("v1", "Namespace"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "ServiceAccount"),
    ("v1", "PersistentVolume"),
    ("networking.k8s.io/v1", "Ingress"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("storage.k8s.io/v1", "StorageClass"),
];

/// LISTs under way at once.
const CONCURRENCY: usize = 8;

/// An environment's things in a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// Objects with its label, of the kinds that are looked for.
    pub objects: usize,
    /// Claims with its label, or in its namespaces.
    pub claims: usize,
    /// What these claims hold, in bytes.
    pub bytes: u64,
    /// Its namespaces.
    pub namespaces: BTreeSet<String>,
}

/// Environments by name, without instances: those with a record, those with labelled objects.
pub type Residents = BTreeMap<String, Resident>;

/// Looks at what lives in a cluster. Kinds that may not be listed everywhere are listed in `namespace`; where that is not
/// allowed either they are left out.
///
/// # Errors
/// When the cluster does not answer: nobody who is not seen may be taken for nobody who is there.
pub async fn look(cluster: &Cluster, records: &[Record], namespace: &str) -> Result<Residents, ClusterError> {
    let read = |kind: (&'static str, &'static str), labels: Option<&'static str>, metadata_only: bool| async move {
        let Some(served) = cluster.kinds.get(kind.0, kind.1) else { return Ok(Vec::new()) };
        let items = match list(cluster, served, None, labels, metadata_only).await {
            Err(ClusterError::Forbidden(_)) if served.namespaced => {
                list(cluster, served, Some(namespace), labels, metadata_only).await
            }
            items => items,
        };
        match items {
            Err(ClusterError::Forbidden(_)) => Ok(Vec::new()),
            items => items,
        }
    };
    let lists = KINDS.iter().map(|kind| read(*kind, Some(ENVIRONMENT_LABEL), true));
    let (objects, claims) = tokio::try_join!(
        stream::iter(lists).buffer_unordered(CONCURRENCY).try_concat(),
        read(("v1", "PersistentVolumeClaim"), None, false)
    )?;
    Ok(count(records, &objects, &claims))
}

/// Sorts objects by their label, and claims by their label or else by whose namespace they are in: what a StatefulSet
/// makes of its templates carries no label of ours.
fn count(records: &[Record], objects: &[Value], claims: &[Value]) -> Residents {
    let mut residents = Residents::new();
    for record in records {
        let resident = residents.entry(record.environment.clone()).or_default();
        resident.namespaces.extend(record.namespaces.iter().cloned());
    }
    for object in objects {
        let Some(environment) = label(object) else { continue };
        let resident = residents.entry(environment.to_owned()).or_default();
        resident.objects += 1;
        let is_namespace = object.get("kind").and_then(Value::as_str) == Some("Namespace");
        let place = if is_namespace { "/metadata/name" } else { "/metadata/namespace" };
        resident.namespaces.extend(object.pointer(place).and_then(Value::as_str).map(str::to_owned));
    }
    for claim in claims {
        let namespace = claim.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
        let labelled = label(claim).map(str::to_owned);
        let owner = labelled.or_else(|| {
            let mut all = residents.iter();
            all.find(|(_, resident)| resident.namespaces.contains(namespace)).map(|(name, _)| name.clone())
        });
        let Some(owner) = owner else { continue };
        let size = ["/status/capacity/storage", "/spec/resources/requests/storage"];
        let size = size.iter().find_map(|place| claim.pointer(place)?.as_str()).and_then(bytes);
        let resident = residents.entry(owner).or_default();
        resident.claims += 1;
        resident.bytes = resident.bytes.saturating_add(size.unwrap_or(0));
    }
    residents
}

fn label(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("labels")?.get(ENVIRONMENT_LABEL)?.as_str()
}

/// A quantity of bytes such as `10Gi` or `1.5T`, as Kubernetes writes them.
fn bytes(quantity: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 13] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
        ("m", 1e-3),
    ];
    let unit = UNITS.iter().find_map(|(unit, factor)| Some((quantity.strip_suffix(unit)?, *factor)));
    let (number, factor) = unit.unwrap_or((quantity, 1.0));
    let size = number.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)? * factor;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and a cast saturates")]
    Some(size as u64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::StatusCode;
    use serde_json::json;

    use super::*;
    use crate::cluster::mock::{cluster, failure};

    #[test]
    fn quantities() {
        for (text, size) in [
            ("10Gi", Some(10 << 30)),
            ("1Ti", Some(1 << 40)),
            ("1.5G", Some(1_500_000_000)),
            ("128974848", Some(128_974_848)),
            ("1e3", Some(1000)),
            ("", None),
            ("-1Gi", None),
            ("much", None),
        ] {
            assert_eq!(bytes(text), size, "{text}");
        }
    }

    #[test]
    fn objects_go_by_label_and_claims_by_namespace_too() {
        let object = |kind: &str, namespace: Option<&str>, name: &str, environment: &str| json!({"kind": kind, "metadata": {"namespace": namespace, "name": name, "labels": {ENVIRONMENT_LABEL: environment}}});
        let claim = |namespace: &str, size: &str| {
            json!({"kind": "PersistentVolumeClaim", "metadata": {"namespace": namespace, "name": "data"},
                "spec": {"resources": {"requests": {"storage": size}}}})
        };
        let records =
            [Record { environment: "old".into(), namespaces: ["old".to_owned()].into(), ..Record::default() }];
        let objects = [
            object("Namespace", None, "shop", "standby"),
            object("Service", Some("shop"), "api", "standby"),
            object("ConfigMap", Some("other"), "x", "local"),
        ];
        let claims = [claim("shop", "400Gi"), claim("shop", "12Gi"), claim("old", "1Gi"), claim("nobody", "9Gi")];
        let residents = count(&records, &objects, &claims);
        let facts: Vec<_> = residents
            .iter()
            .map(|(name, resident)| (name.as_str(), resident.objects, resident.claims, resident.bytes >> 30))
            .collect();
        assert_eq!(facts, [("local", 1, 0, 0), ("old", 0, 1, 1), ("standby", 2, 2, 412)]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_be_seen_is_not_taken_for_gone() {
        let kinds = [
            ("v1", "Namespace", "namespaces", false),
            ("apps/v1", "Deployment", "deployments", true),
            ("v1", "PersistentVolumeClaim", "persistentvolumeclaims", true),
        ];
        let empty = json!({"items": []});
        let residents = async |deployments: StatusCode, claims: StatusCode| {
            let body = |code: StatusCode| {
                if code.is_success() { empty.clone() } else { failure(code.as_u16(), "no") }
            };
            let (cluster, _) = cluster(
                &kinds,
                vec![
                    ("/api/v1/namespaces?", StatusCode::OK, empty.clone()),
                    ("/apis/apps/v1/", deployments, body(deployments)),
                    ("/api/v1/", claims, body(claims)),
                ],
            );
            look(&cluster, &[], "shop").await
        };
        let (fine, forbidden, broken) = (StatusCode::OK, StatusCode::FORBIDDEN, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(residents(fine, fine).await.unwrap(), Residents::new());
        assert_eq!(
            residents(forbidden, forbidden).await.unwrap(),
            Residents::new(),
            "what one may not see is left out"
        );
        assert!(residents(broken, fine).await.is_err());
        assert!(residents(fine, broken).await.is_err());
    }
}
