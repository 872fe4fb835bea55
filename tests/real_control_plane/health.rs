//! What real controllers write, judged; and what a real cluster tells about an object that is not healthy.

use rekindle::health::diagnosis::diagnose;
use rekindle::health::review::review;
use rekindle::health::status::Status;
use rekindle::manifest::ObjectKey;
use serde_json::Value;

use super::support::{Bed, Space};
use super::{BED, deployment};

/// A namespace where only one pod may exist, and workloads of every kind in it.
fn space(bed: &Bed) -> Space<'_> {
    let space = Space::new(bed, "health");
    let name = &space.name;
    bed.apply_as("test", &format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"));
    let apply = |text: String| {
        let placed = text.replacen("metadata: {", &format!("metadata: {{namespace: {name}, "), 1);
        bed.apply_as("test", &placed);
    };
    apply("apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: few}\nspec: {hard: {pods: \"0\"}}\n".into());
    bed.wait_until("the quota is in force", |bed| {
        bed.get("v1", "ResourceQuota", Some(name), "few").is_some_and(|it| it.pointer("/status/hard/pods").is_some())
    });
    apply(deployment("refused", 2));
    apply(deployment("empty", 0));
    apply(deployment("paused", 1).replace("spec:\n  replicas", "spec:\n  paused: true\n  replicas"));
    apply(
        deployment("daemon", 1)
            .replace("kind: Deployment", "kind: DaemonSet")
            .replace("  replicas: 1\n", "  updateStrategy: {type: OnDelete}\n"),
    );
    apply("apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: gold}\nspec: {accessModes: [ReadWriteOnce], storageClassName: gold, resources: {requests: {storage: 1Gi}}}\n".into());
    apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: front}\nspec: {type: LoadBalancer, ports: [{port: 80}]}\n"
            .into(),
    );
    apply("apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: budget}\nspec: {minAvailable: 1, selector: {matchLabels: {app: refused}}}\n".into());
    space
}

const OBJECTS: [(&str, &str, &str); 7] = [
    ("apps/v1", "Deployment", "refused"),
    ("apps/v1", "Deployment", "empty"),
    ("apps/v1", "Deployment", "paused"),
    ("apps/v1", "DaemonSet", "daemon"),
    ("v1", "PersistentVolumeClaim", "gold"),
    ("v1", "Service", "front"),
    ("policy/v1", "PodDisruptionBudget", "budget"),
];

#[test]
#[ignore = "needs a real control plane"]
fn the_status_of_real_objects() {
    let bed = Bed::from_variable(BED);
    let space = space(&bed);
    let mut found = Vec::new();
    bed.wait_until("controllers have looked at everything", |bed| {
        let objects: Vec<Value> = OBJECTS
            .iter()
            .filter_map(|(version, kind, name)| bed.get(version, kind, Some(&space.name), name))
            .collect();
        found = review(&objects);
        found.len() == OBJECTS.len()
            && matches!(found[0], Status::Failing { .. })
            && matches!(found[2], Status::Failed { .. })
            && [1, 3, 6].iter().all(|index| found[*index].is_ready())
    });
    for (verdict, part) in found.iter().zip([
        "0 of 2 pods created: pods cannot be created",
        "0 replicas wanted",
        "paused before its first pod",
        "",
        "waits for a volume",
        "waits for the address of a load balancer",
        "",
    ]) {
        assert!(verdict.reason().contains(part), "{part}: {verdict:?}");
    }
    assert!(found[0].reason().contains("exceeded quota: few"), "{:?}", found[0]);
}

#[test]
#[ignore = "needs a real control plane"]
fn the_events_around_a_real_object() {
    let bed = Bed::from_variable(BED);
    let space = space(&bed);
    let key = ObjectKey {
        group: "apps".into(),
        kind: "Deployment".into(),
        namespace: Some(space.name.clone()),
        name: "refused".into(),
    };
    let mut diagnosis = Default::default();
    bed.wait_until("the refusal of the quota is told", |bed| {
        let live = bed.get("apps/v1", "Deployment", Some(&space.name), "refused");
        diagnosis = bed.block_on(diagnose(&bed.client, &key, live.as_ref()));
        diagnosis.events.iter().any(|event| event.reason == "FailedCreate" && event.message.contains("exceeded quota"))
    });
    assert!(diagnosis.containers.is_empty());
    assert!(diagnosis.events.iter().all(|event| !event.time.is_empty() && event.regarding.contains("refused")));
    assert!(diagnosis.events.len() <= 8);
}
