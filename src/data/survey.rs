//! Reading what there is of claims and volumes: a LIST of volumes, one of claims in each namespace with a look at it, one of
//! nodes. Nothing is written.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use serde_json::Value;

use super::Source;
use super::backups::Archive;
use super::claims::Expected;
use super::evidence::{Claim, NODE_NAME, Record, Volume};
use super::lineage::Lineage;
use super::memory::Memories;
use crate::cluster::connect::patiently;
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
        let (volumes, nodes) = tokio::join!(all(cluster, "PersistentVolume", None), all(cluster, "Node", None));
        let nodes = match nodes {
            // Who may not list nodes decides without them.
            Err(ClusterError::Forbidden(_)) => None,
            nodes => Some(nodes?.iter().map(labels).collect::<Vec<_>>()),
        };
        let claims = live_claims(cluster, expected).await?;
        let mut volumes = volumes?;
        // A claim may have been given a volume since: it has not lost it, and it is not another's.
        let is_its = |volume: &&Value, claim: &Claim| {
            let of = |part: &str| volume.pointer(&format!("/spec/claimRef/{part}")).and_then(Value::as_str);
            of("name") == Some(&claim.name) && of("namespace") == Some(&claim.namespace)
        };
        let is_as_listed = |claim: &Claim| {
            let Some(name) = &claim.volume else { return true };
            volumes.iter().find(|volume| volume["metadata"]["name"] == **name).is_some_and(|it| is_its(&it, claim))
        };
        if !claims.iter().all(is_as_listed) {
            volumes = all(cluster, "PersistentVolume", None).await?;
        }
        let volumes = volumes.iter().map(|volume| Volume::of(volume, nodes.as_deref())).collect();
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

/// The claims that are in the namespaces of expected ones. In a namespace that is being deleted all of them are: Kubernetes
/// deletes them only when the namespace's pods have ended.
///
/// # Errors
/// When the cluster does not answer, or does not let us list claims.
pub async fn live_claims(cluster: &Cluster, expected: &[Expected]) -> Result<Vec<Claim>, ClusterError> {
    let namespaces: BTreeSet<&str> = expected.iter().map(|claim| claim.namespace.as_str()).collect();
    let mut claims = Vec::new();
    for namespace in namespaces {
        let found = all(cluster, "PersistentVolumeClaim", Some(namespace)).await?;
        // Looked at last: what ends after that is noticed when the claims are sent.
        let ending = is_ending(cluster, namespace).await?;
        claims.extend(found.iter().map(Claim::of).map(|claim| Claim { deleting: claim.deleting || ending, ..claim }));
    }
    Ok(claims)
}

/// Whether a namespace is being deleted.
///
/// # Errors
/// When the cluster does not answer, or does not let us look.
pub async fn is_ending(cluster: &Cluster, namespace: &str) -> Result<bool, ClusterError> {
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let live = patiently(&cluster.server, || namespaces.get_metadata_opt(namespace)).await?;
    Ok(live.is_some_and(|live| live.metadata.deletion_timestamp.is_some()))
}

async fn all(cluster: &Cluster, kind: &str, namespace: Option<&str>) -> Result<Vec<Value>, ClusterError> {
    let Some(served) = cluster.kinds.get("v1", kind) else { return Ok(Vec::new()) };
    list(cluster, served, namespace, None, kind == "Node").await
}

/// What templates are told of data sets whose claims are there, as `up` told them when it made the claims.
pub fn as_made(expected: &[Expected], live: &[Claim]) -> (BTreeMap<String, Source>, BTreeMap<String, Lineage>) {
    let (mut sources, mut lineages) = (BTreeMap::new(), BTreeMap::new());
    for (set, claim) in expected.iter().filter_map(|claim| Some((claim.data_set.as_ref()?, claim))) {
        let is = |live: &&Claim| live.namespace == claim.namespace && live.name == claim.name;
        let Some(live) = live.iter().find(is) else { continue };
        if let Some(Record::From(source)) = live.record {
            sources.entry(set.clone()).or_insert(source);
        }
        if live.lineage != Lineage::default() {
            lineages.entry(set.clone()).or_insert_with(|| live.lineage.clone());
        }
    }
    (sources, lineages)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use kube::client::Body;
    use serde_json::json;

    use super::*;
    use crate::data::claims::Maker;
    use crate::manifest::Origin;
    use crate::rehearsal::store::Key;
    use crate::rehearsal::{Faults, Model, Simulation, World};

    fn key(resource: &str, namespace: &str, name: &str) -> Key {
        Key::new("", resource, namespace, name)
    }

    #[tokio::test(start_paused = true)]
    async fn a_volume_that_is_made_while_claims_are_read_is_not_lost() {
        let (claim, volume) =
            (key("persistentvolumeclaims", "shop", "data-db-0"), key("persistentvolumes", "", "pv-new"));
        let mut world = World::new(jiff::Timestamp::UNIX_EPOCH, 1, Model::default(), false);
        world.make(&key("namespaces", "", "shop"), json!({}));
        world.make(&claim, json!({"spec": {"accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Pending"}}));
        let simulation = Simulation::new(world, Faults::none());
        let client = simulation.client();
        let binding = tower::service_fn(move |request: http::Request<Body>| {
            let mut world = simulation.world();
            if request.uri().path().ends_with("/persistentvolumeclaims") && world.store.get(&volume).is_none() {
                world.make(&volume, json!({"spec": {"claimRef": {"namespace": "shop", "name": "data-db-0"}}}));
                world.edit(&claim, |claim| claim["spec"]["volumeName"] = "pv-new".into());
            }
            let client = client.clone();
            async move { client.send(request).await }
        });
        let client = kube::Client::new(binding, "default");
        let cluster = Cluster::with_client(client, "simulated".into(), "https://simulated".into()).await.unwrap();
        let expected = Expected {
            namespace: "shop".into(),
            name: "data-db-0".into(),
            data_set: Some("db".into()),
            phase: "database".into(),
            maker: Maker::Kit,
            body: json!({}),
            origin: Origin::default(),
        };
        let survey = Survey::read(&cluster, &[expected]).await.unwrap();
        assert_eq!(survey.claim("shop", "data-db-0").unwrap().volume.as_deref(), Some("pv-new"));
        assert!(survey.volume("pv-new").is_some(), "{:?}", survey.volumes);
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_that_cannot_be_read_are_unknown_and_errors_stay_errors() {
        let survey = async |path: &'static str, code: u16| {
            let mut world = World::new(jiff::Timestamp::UNIX_EPOCH, 1, Model::default(), false);
            world.make(&key("persistentvolumes", "", "pv"), json!({"spec": {}}));
            let client = Simulation::new(world, Faults::none()).client();
            let cluster = Cluster::with_client(client.clone(), "simulated".into(), "https://simulated".into());
            let mut cluster = cluster.await.unwrap();
            let broken = tower::service_fn(move |request: http::Request<Body>| {
                let (client, breaks) = (client.clone(), request.uri().path() == path);
                async move {
                    if !breaks {
                        return client.send(request).await;
                    }
                    let body = json!({"kind": "Status", "status": "Failure", "code": code, "message": "no"});
                    let response = http::Response::builder().status(code);
                    Ok(response.body(Body::from(body.to_string().into_bytes())).unwrap())
                }
            });
            cluster.client = kube::Client::new(broken, "default");
            Survey::read(&cluster, &[]).await
        };
        assert_eq!(survey("/api/v1/nodes", 403).await.unwrap().volume("pv").unwrap().reachable, None);
        assert!(survey("/api/v1/nodes", 500).await.is_err(), "a volume is not on no node because nodes were not told");
        assert!(survey("/api/v1/persistentvolumes", 403).await.is_err());
        assert!(survey("/", 403).await.unwrap().volume("pv").unwrap().reachable.is_some());
    }
}
