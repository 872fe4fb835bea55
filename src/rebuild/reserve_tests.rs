//! Volumes are reserved before the first phase, which may have to wait for a claim that is being deleted: against the simulated
//! API server.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::event::{Event, EventKind};
use super::{Options, run};
use crate::cluster::Cluster;
use crate::cluster::lock::Lost;
use crate::data::decide::decide_all;
use crate::data::decision::Policy;
use crate::data::{Answers, Survey, objects};
use crate::kit::sample::rendered;
use crate::plan::Plan;
use crate::rehearsal::store::Key;
use crate::rehearsal::{Faults, Model, Simulation, World};

const DATABASE: &str = "apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: c, image: i, volumeMounts: [{name: data, mountPath: /data}]}]}
  volumeClaimTemplates:
  - {metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
---
apiVersion: rekindle.dev/v1
kind: DataSet
metadata: {name: db}
spec: {claims: [{statefulset: db}]}
";

fn key(resource: &str, namespace: &str, name: &str) -> Key {
    Key::new("", resource, namespace, name)
}

fn volume() -> Key {
    key("persistentvolumes", "", "pv-old")
}

/// Metadata of what this environment made.
fn ours() -> Value {
    let fields = json!([{"manager": "rekindle", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {}}]);
    json!({"labels": {"rekindle.dev/environment": "test"}, "managedFields": fields})
}

/// A volume whose claim is being deleted, and never is, since a pod holds it.
fn simulation() -> Simulation {
    let mut world = World::new(jiff::Timestamp::UNIX_EPOCH, 1, Model::default(), false);
    world.make(&key("namespaces", "", "shop"), json!({"metadata": ours(), "status": {"phase": "Active"}}));
    let claim = key("persistentvolumeclaims", "shop", "data-db-0");
    let storage = json!({"storage": "1Gi"});
    let mut going = ours();
    going["deletionTimestamp"] = "1970-01-01T00:00:00Z".into();
    going["finalizers"] = json!(["kubernetes.io/pvc-protection"]);
    world.make(
        &claim,
        json!({"metadata": going, "spec": {"accessModes": ["ReadWriteOnce"], "volumeName": "pv-old", "resources": {"requests": storage}},
            "status": {"phase": "Bound"}}),
    );
    let uid = world.store.get(&claim).unwrap()["metadata"]["uid"].clone();
    world.make(
        &volume(),
        json!({"spec": {"capacity": storage, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Delete",
                "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "shop", "name": "data-db-0", "uid": uid}},
            "status": {"phase": "Bound"}}),
    );
    Simulation::new(world, Faults::none())
}

async fn decided(cluster: &Cluster) -> Plan {
    let mut rendered = rendered(&[
        ("environments/test.yaml", "namespace: shop\n"),
        ("templates/stack.yaml", "name: test\nphases: [{name: database}]\n"),
        ("templates/database/db.yaml", DATABASE),
    ]);
    let plan = Plan::of(&rendered).unwrap();
    let survey = Survey::read(cluster, &plan.claims).await.unwrap();
    let policy = Policy { environment: "test".into(), ..Policy::default() };
    let decisions = decide_all(&plan.data_sets, &plan.claims, &survey, &policy, &Answers::default()).unwrap();
    assert_eq!(decisions.adopted().map(|(_, volume)| volume).collect::<Vec<_>>(), ["pv-old"]);
    objects::add(&mut rendered, &decisions, &survey, "test");
    let mut plan = Plan::of(&rendered).unwrap();
    plan.data = decisions;
    plan
}

/// Runs until the deletion is waited for, then does something; the exit code, what was told, and the volume.
async fn interrupted(by: impl FnOnce(&watch::Sender<bool>, &watch::Sender<Option<Lost>>)) -> (u8, Vec<Event>, Value) {
    let simulation = simulation();
    let cluster = simulation.connect().await.unwrap();
    let plan = decided(&cluster).await;
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let ((stop, stopped), (losing, lost)) = (watch::channel(false), watch::channel(None));
    let options = Options { run: "r".into(), lock: Some(lost), ..Options::default() };
    let mut work = std::pin::pin!(run(cluster, &plan, options, sender, stopped));
    let early = tokio::time::timeout(Duration::from_secs(20), &mut work).await;
    assert!(early.is_err(), "the claim is not waited for: {early:?}");
    by(&stop, &losing);
    let ended = tokio::time::timeout(Duration::from_secs(10), work).await.unwrap_or_else(|_| panic!("it goes on"));
    let mut events = Vec::new();
    while let Some(event) = receiver.recv().await {
        events.push(event);
    }
    let volume = (**simulation.world().store.get(&volume()).unwrap()).clone();
    (ended.unwrap(), events, volume)
}

fn as_it_was_and_kept(volume: &Value) {
    assert_eq!(volume["spec"]["persistentVolumeReclaimPolicy"], "Retain", "what can be lost is kept first");
    assert!(volume["spec"]["claimRef"]["uid"].is_string(), "{}", volume["spec"]["claimRef"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_waited_for_is_told_and_who_asks_to_stop_is_heard() {
    let (exit, events, volume) = interrupted(|stop, _| {
        stop.send_replace(true);
    })
    .await;
    assert_eq!(exit, 130);
    as_it_was_and_kept(&volume);
    let told: Vec<&String> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Warning { message } => Some(message),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["shop/data-db-0 is being deleted; once it is gone, pv/pv-old is bound again"]);
    assert!(matches!(events.last().unwrap().kind, EventKind::RunFinished { exit: 130, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_loses_its_lock_binds_no_volume() {
    let lose =
        |_: &watch::Sender<bool>, lock: &watch::Sender<Option<Lost>>| drop(lock.send_replace(Some(Lost::Removed)));
    let (exit, events, volume) = interrupted(lose).await;
    assert_eq!(exit, 8);
    as_it_was_and_kept(&volume);
    assert!(events.iter().all(|event| !matches!(event.kind, EventKind::PhaseStarted { .. })), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_fails_for_a_while_is_asked_again() {
    let simulation = simulation();
    let cluster = simulation.connect().await.unwrap();
    let plan = decided(&cluster).await;
    // The pod has gone, and the claim with it.
    simulation.world().remove(&key("persistentvolumeclaims", "shop", "data-db-0"));
    simulation.silence("/persistentvolumes/", Duration::from_secs(30));
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let (stop, stopped) = watch::channel(false);
    let options = Options { run: "r".into(), ..Options::default() };
    let mut work = std::pin::pin!(run(cluster, &plan, options, sender, stopped));
    // Nothing binds claims here: the run waits for that.
    let early = tokio::time::timeout(Duration::from_secs(60), &mut work).await;
    assert!(early.is_err(), "{early:?}");
    stop.send_replace(true);
    assert_eq!(work.await.unwrap(), 130);
    let volume = simulation.world().store.get(&volume()).unwrap().clone();
    assert_eq!(volume["spec"]["claimRef"].get("uid"), None, "it is reserved");
    let mut warnings = 0;
    while let Some(event) = receiver.recv().await {
        warnings += usize::from(
            matches!(&event.kind, EventKind::Warning { message } if message.starts_with("volumes could not be reserved yet")),
        );
    }
    assert_eq!(warnings, 1);
}
