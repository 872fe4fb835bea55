//! What a cloud does beside a cluster, played by the tests: this bed has nobody who makes volumes or load balancers. The
//! volume and service controllers, the scheduler and their handshakes with a cloud are the real ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use futures::StreamExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::support::{Bed, Space};

/// On a claim: who is asked to make its volume. Written by the volume controller, once the scheduler has chosen a node
/// where the class wants that.
const PROVISIONER: &str = "/metadata/annotations/volume.kubernetes.io~1storage-provisioner";
/// On a claim: the node for which its volume is to be made. Written by the scheduler.
const NODE: &str = "/metadata/annotations/volume.kubernetes.io~1selected-node";
/// On the volumes made here: whose they are.
const LABEL: &str = "cloud.example.com/name";

/// Makes volumes for claims of its own provisioner, and gives addresses to load balancers in its namespaces, until it goes
/// out of scope.
pub struct Cloud<'a> {
    bed: &'a Bed,
    name: String,
    volumes: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

impl<'a> Cloud<'a> {
    /// Of a test's space, and of spaces whose names begin with its name.
    pub fn of(space: &Space<'a>) -> Self {
        let (bed, name) = (space.bed, space.name.clone());
        let volumes = Arc::new(AtomicUsize::new(0));
        let provision = provision(
            bed.api("v1", "PersistentVolumeClaim", None),
            bed.api("v1", "PersistentVolume", None),
            name.clone(),
            volumes.clone(),
        );
        let balance = balance(bed.api("v1", "Service", None), bed.client.clone(), name.clone());
        let tasks = vec![bed.spawn(provision), bed.spawn(balance)];
        Self { bed, name, volumes, tasks }
    }

    /// What a storage class says to have its volumes made here.
    pub fn provisioner(&self) -> String {
        provisioner(&self.name)
    }

    /// How many volumes it has made.
    pub fn volumes(&self) -> usize {
        self.volumes.load(Ordering::SeqCst)
    }
}

impl Drop for Cloud<'_> {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        let volumes = self.bed.api("v1", "PersistentVolume", None);
        let ours = ListParams::default().labels(&format!("{LABEL}={}", self.name));
        let _ = self.bed.block_on(volumes.delete_collection(&DeleteParams::default(), &ours));
    }
}

fn provisioner(cloud: &str) -> String {
    format!("{cloud}.cloud.example.com")
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Calls back with every object that is there or changes.
async fn each<F: Future<Output = ()>>(api: Api<DynamicObject>, act: impl Fn(Value) -> F) {
    let mut seen = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff().applied_objects());
    while let Some(object) = seen.next().await {
        // A watch that broke is begun again by itself.
        if let Ok(object) = object {
            act(serde_json::to_value(object).unwrap()).await;
        }
    }
}

/// Makes a volume when a claim asks for one; the volume controller binds them.
async fn provision(claims: Api<DynamicObject>, volumes: Api<DynamicObject>, cloud: String, made: Arc<AtomicUsize>) {
    let (volumes, cloud, made) = (&volumes, &cloud, &made);
    each(claims, |claim| async move {
        if text(&claim, PROVISIONER) != provisioner(cloud) || !text(&claim, "/spec/volumeName").is_empty() {
            return;
        }
        let volume = serde_json::from_value(volume(&claim, cloud)).unwrap();
        match volumes.create(&PostParams::default(), &volume).await {
            Ok(_) => drop(made.fetch_add(1, Ordering::SeqCst)),
            // The claim was seen again before it was bound.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => eprintln!("the cloud cannot make a volume: {error}"),
        }
    })
    .await;
}

fn volume(claim: &Value, cloud: &str) -> Value {
    let uid = text(claim, "/metadata/uid");
    let node = match text(claim, NODE) {
        "" => Value::Null,
        node => {
            let hostname = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": [node]});
            json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [hostname]}]}})
        }
    };
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": format!("pvc-{uid}"), "labels": {LABEL: cloud}},
        "spec": {
            "capacity": claim["spec"]["resources"]["requests"],
            "accessModes": claim["spec"]["accessModes"],
            "storageClassName": claim["spec"]["storageClassName"],
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": claim["metadata"]["namespace"],
                "name": claim["metadata"]["name"],
                "uid": uid,
            },
            "nodeAffinity": node,
            "hostPath": {"path": format!("/volumes/{uid}")},
        },
    })
}

/// Gives every load balancer an address of its own, from the block for documentation.
async fn balance(services: Api<DynamicObject>, client: kube::Client, cloud: String) {
    let (cloud, client, next) = (&cloud, &client, &AtomicU8::new(1));
    each(services, |service| async move {
        let (namespace, name) = (text(&service, "/metadata/namespace"), text(&service, "/metadata/name"));
        let balanced = text(&service, "/spec/type") == "LoadBalancer" && namespace.starts_with(cloud.as_str());
        if !balanced || service.pointer("/status/loadBalancer/ingress").is_some() {
            return;
        }
        let address = format!("192.0.2.{}", next.fetch_add(1, Ordering::SeqCst));
        let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}});
        let api: Api<k8s_openapi::api::core::v1::Service> = Api::namespaced(client.clone(), namespace);
        let params = PatchParams { field_manager: Some("cloud".into()), ..PatchParams::default() };
        if let Err(error) = api.patch_status(name, &params, &Patch::Merge(&status)).await {
            eprintln!("the cloud cannot give an address to {namespace}/{name}: {error}");
        }
    })
    .await;
}
