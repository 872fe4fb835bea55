//! Reading what there is of claims and volumes: a LIST of volumes, one of claims in each namespace, one of nodes. Nothing is
//! written.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::backups::Archive;
use super::claims::Expected;
use super::evidence::{Claim, NODE_NAME, Volume};
use super::memory::Memories;
use crate::cluster::observe::list;
use crate::cluster::{Cluster, ClusterError};

/// What is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    /// All volumes of the cluster.
    pub volumes: Vec<Volume>,
    /// The claims of the namespaces in question.
    pub claims: Vec<Claim>,
    /// What was found out about backups, by data set; nothing where they were not looked up.
    pub archives: BTreeMap<String, Archive>,
    /// What was found out about the archives that data sets follow, by data set.
    pub followed: BTreeMap<String, Archive>,
    /// What is remembered of the environment's data.
    pub memories: Memories,
    /// When it was read.
    pub now: jiff::Timestamp,
}

impl Survey {
    /// Reads it.
    ///
    /// # Errors
    /// When the cluster does not answer, or does not let us list volumes or claims.
    pub async fn read(cluster: &Cluster, expected: &[Expected]) -> Result<Self, ClusterError> {
        let namespaces: BTreeSet<&str> = expected.iter().map(|claim| claim.namespace.as_str()).collect();
        let all = async |kind: &str, namespace: Option<&str>, metadata_only: bool| match cluster.kinds.get("v1", kind) {
            Some(kind) => list(cluster, kind, namespace, None, metadata_only).await,
            None => Ok(Vec::new()),
        };
        let (volumes, nodes) = tokio::join!(all("PersistentVolume", None, false), all("Node", None, true));
        // Who may not list nodes decides without them.
        let nodes = nodes.ok().map(|nodes| nodes.iter().map(labels).collect::<Vec<_>>());
        let mut claims = Vec::new();
        for namespace in namespaces {
            claims.extend(all("PersistentVolumeClaim", Some(namespace), false).await?.iter().map(Claim::of));
        }
        let volumes = volumes?.iter().map(|volume| Volume::of(volume, nodes.as_deref())).collect();
        Ok(Self { volumes, claims, now: jiff::Timestamp::now(), ..Self::default() })
    }

    /// A volume by its name.
    pub fn volume(&self, name: &str) -> Option<&Volume> {
        self.volumes.iter().find(|volume| volume.name == name)
    }

    /// A claim by its place.
    pub fn claim(&self, namespace: &str, name: &str) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.namespace == namespace && claim.name == name)
    }
}

/// The labels of a node, with its name among them.
fn labels(node: &Value) -> BTreeMap<String, String> {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object);
    let mut labels: BTreeMap<String, String> = labels
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect();
    let name = node.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    labels.insert(NODE_NAME.to_owned(), name.to_owned());
    labels
}
