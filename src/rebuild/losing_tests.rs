//! What is taken away while a phase waits for something else: made again, unless it has run to its end. Against the simulated
//! cluster, in virtual time.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::event::{Event, EventKind};
use super::{Options, run};
use crate::kit::sample::rendered;
use crate::plan::Plan;
use crate::rehearsal::deletion::{Propagation, delete, settle};
use crate::rehearsal::store::Key;
use crate::rehearsal::{Faults, Model, Simulation, World};

/// A phase that waits a minute for a Deployment, when everything else is long ready.
const KIT: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\n---\n\
    apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n---\n\
    apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate}\nspec:\n  template:\n    spec: {restartPolicy: Never, containers: [{name: a, image: busybox:1}]}\n---\n\
    apiVersion: v1\nkind: Pod\nmetadata: {name: once}\nspec: {restartPolicy: Never, containers: [{name: a, image: busybox:1}]}\n---\n\
    apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n---\n\
    apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: other}\nspec:\n  selector: {matchLabels: {app: web}}\n  template:\n    \
    metadata: {labels: {app: web}}\n    spec: {containers: [{name: a, image: a:1}]}\n";

/// A claim that gets its volume at once.
const CLAIM: &str = "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\n\
    spec: {storageClassName: fast, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n";

/// Runs it and more, and takes something away after half a minute: the exit code, how often each object was created, and the cluster.
async fn losing(more: &str, lose: impl FnOnce(&mut World)) -> (u8, impl Fn(&str) -> usize, Simulation) {
    losing_slowly(more, lose, |_| ()).await
}

/// The same, and half a minute later, when everything else is ready, what comes of it.
async fn losing_slowly(
    more: &str,
    lose: impl FnOnce(&mut World),
    then: impl FnOnce(&mut World),
) -> (u8, impl Fn(&str) -> usize, Simulation) {
    let stack = ("templates/stack.yaml", "name: test\nphases: [{name: storage}]\n");
    let plan = Plan::of(&rendered(&[stack, ("templates/storage/all.yaml", &[KIT, more].concat())])).unwrap();
    let mut model = Model::default();
    model.ready.insert("Deployment/web".into(), Duration::from_secs(60));
    model.ready.insert("Job/slow".into(), Duration::from_secs(60));
    let mut world = World::new(jiff::Timestamp::UNIX_EPOCH, 1, model, true);
    let class = json!({"provisioner": "simulated", "reclaimPolicy": "Retain", "volumeBindingMode": "Immediate"});
    world.make(&Key::new("storage.k8s.io", "storageclasses", "", "fast"), class);
    let class = json!({"provisioner": "simulated", "volumeBindingMode": "WaitForFirstConsumer"});
    world.make(&Key::new("storage.k8s.io", "storageclasses", "", "patient"), class);
    let simulation = Simulation::new(world, Faults::none());
    let cluster = simulation.connect().await.unwrap();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let (_stop, stopped) = watch::channel(false);
    let options = Options { run: "run".into(), started: jiff::Timestamp::UNIX_EPOCH, ..Options::default() };
    let mut run = std::pin::pin!(run(cluster, &plan, options, sender, stopped));
    assert!(tokio::time::timeout(Duration::from_secs(40), &mut run).await.is_err());
    lose(&mut simulation.world());
    let exit = match tokio::time::timeout(Duration::from_secs(60), &mut run).await {
        Ok(exit) => exit.unwrap(),
        Err(_) => {
            then(&mut simulation.world());
            run.await.unwrap()
        }
    };
    let mut events: Vec<Event> = Vec::new();
    while let Some(event) = receiver.recv().await {
        events.push(event);
    }
    let created = move |name: &str| {
        let of = |event: &&Event| matches!(&event.kind, EventKind::ObjectApplied { object, .. } if object.key().to_string() == name);
        events.iter().filter(of).count()
    };
    (exit, created, simulation)
}

fn key(resource: &str, name: &str) -> Key {
    let group = if resource == "jobs" { "batch" } else { "" };
    Key::new(group, resource, "space", name)
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_away_is_made_again_and_what_has_run_is_not() {
    let all = [("secrets", "keys"), ("services", "web"), ("jobs", "migrate"), ("pods", "once")];
    let (exit, created, simulation) = losing("", |world| {
        world.edit(&key("pods", "once"), |pod| pod["status"]["phase"] = "Succeeded".into());
        for (resource, name) in all {
            assert!(delete(world, &key(resource, name), Propagation::Background).is_some(), "{name}");
        }
    })
    .await;
    assert_eq!(exit, 0);
    assert_eq!(["Secret/keys", "Service/web", "Job/migrate", "Pod/once"].map(&created), [2, 2, 1, 1]);
    let there = all.map(|(resource, name)| simulation.world().store.get(&key(resource, name)).is_some());
    assert_eq!(there, [true, true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_was_taken_away_is_not_begun_empty_beside_its_volume() {
    let claim = key("persistentvolumeclaims", "data");
    let (exit, created, simulation) = losing(CLAIM, |world| drop(delete(world, &claim, Propagation::Background))).await;
    assert_eq!((exit, created("PersistentVolumeClaim/data")), (6, 1));
    assert!(simulation.world().store.get(&claim).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_a_pod_still_held_is_not_begun_empty_when_it_is_gone() {
    let claim = key("persistentvolumeclaims", "data");
    let hold = |world: &mut World| {
        world.edit(&claim, |claim| claim["metadata"]["finalizers"] = json!(["example.org/held"]));
        delete(world, &claim, Propagation::Background);
    };
    let release = |world: &mut World| {
        assert!(world.store.get(&claim).is_some(), "it is held until now");
        world.edit(&claim, |claim| claim["metadata"]["finalizers"] = json!([]));
        settle(world, &claim);
    };
    let (exit, created, simulation) = losing_slowly(CLAIM, hold, release).await;
    assert_eq!((exit, created("PersistentVolumeClaim/data")), (6, 1));
    assert!(simulation.world().store.get(&claim).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_seen_done_and_gone_at_once_is_not_run_again() {
    let slow = "---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: slow}\nspec:\n  ttlSecondsAfterFinished: 0\n  template:\n    \
        spec: {restartPolicy: Never, containers: [{name: a, image: busybox:1}]}\n";
    let (exit, created, _) = losing(slow, |world| {
        world.edit(&key("jobs", "slow"), |job| {
            job["status"]["conditions"] = json!([{"type": "Complete", "status": "True"}])
        });
        delete(world, &key("jobs", "slow"), Propagation::Background);
    })
    .await;
    assert_eq!((exit, created("Job/slow")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_done_and_on_its_way_out_is_not_run_again() {
    let (exit, created, _) = losing("", |world| {
        world.edit(&key("jobs", "migrate"), |job| job["metadata"]["finalizers"] = json!(["example.org/held"]));
        delete(world, &key("jobs", "migrate"), Propagation::Background);
    })
    .await;
    assert_eq!((exit, created("Job/migrate")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_waited_for_and_goes_with_its_namespace_is_made_again_in_a_new_one() {
    let (exit, created, _) = losing("", |world| {
        delete(world, &Key::new("", "namespaces", "", "other"), Propagation::Background);
    })
    .await;
    assert_eq!(exit, 0);
    assert_eq!(["Namespace/other", "Deployment/web", "Job/migrate"].map(&created), [2, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_made_anew_gets_everything_again() {
    let (exit, created, simulation) = losing("", |world| {
        delete(world, &Key::new("", "namespaces", "", "space"), Propagation::Background);
    })
    .await;
    assert_eq!(exit, 0);
    assert_eq!(["Namespace/space", "Secret/keys", "Service/web", "Job/migrate", "Pod/once"].map(&created), [2; 5]);
    assert!(simulation.world().store.get(&key("jobs", "migrate")).is_some());
    // Not beside a volume that its claim has left.
    let (exit, created, simulation) = losing(CLAIM, |world| {
        delete(world, &Key::new("", "namespaces", "", "space"), Propagation::Background);
    })
    .await;
    assert_eq!((exit, created("PersistentVolumeClaim/data")), (6, 1));
    assert!(simulation.world().store.get(&key("persistentvolumeclaims", "data")).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_class_of_the_kit_that_is_looked_at_again_does_not_hide_those_of_the_cluster() {
    let more = "---\napiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: own}\nprovisioner: simulated\n---\n\
        apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: later}\n\
        spec: {storageClassName: patient, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n";
    let (exit, created, _) = losing(more, |_| ()).await;
    assert_eq!((exit, created("PersistentVolumeClaim/later")), (0, 1));
}
