//! Pods that take what is not there from ConfigMaps and Secrets.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use serde_json::{Value, json};

use super::controllers::operators::MADE_FOR;
use super::patch::merge;
use super::store::Key;
use super::{Faults, Model, Simulation, World};

/// What becomes of a pod with a change: the reason of its container, what is told of it, and its event.
async fn fate(change: Value) -> (String, String, String) {
    let started = "2026-01-01T00:00:00Z".parse().unwrap();
    let simulation = Simulation::new(World::new(started, 1, Model::default(), true), Faults::none());
    let make = |resource: &str, name: &str, body: Value| {
        let namespace = if resource == "namespaces" { "" } else { "space" };
        simulation.world().make(&Key::new("", resource, namespace, name), body);
    };
    make("namespaces", "space", json!({}));
    make("secrets", "db", json!({"data": {"password": "eA=="}}));
    make("configmaps", "app", json!({"data": {"a.yaml": "x"}, "binaryData": {"b.bin": "eA=="}}));
    make("secrets", "filled", json!({"type": "kubernetes.io/service-account-token"}));
    make("secrets", "played", json!({"data": {"a": "eA=="}, "metadata": {"annotations": {MADE_FOR: "Cluster/db"}}}));
    make("secrets", "shared", json!({"data": {"a": "eA=="}}));
    let external = json!({"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
        "metadata": {"name": "x", "namespace": "space"}, "spec": {"target": {"name": "shared", "creationPolicy": "Merge"}}});
    simulation.world().put(&Key::new("external-secrets.io", "externalsecrets", "space", "x"), external);
    let mut pod =
        json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}});
    merge(&mut pod, &change);
    make("pods", "a", pod);
    tokio::time::sleep(Duration::from_secs(120)).await;
    let world = simulation.world();
    let pod = world.store.get(&Key::new("", "pods", "space", "a")).unwrap().clone();
    let text = |of: &Value, pointer: &str| of.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let waiting = |part: &str| text(&pod, &format!("/status/containerStatuses/0/state/waiting/{part}"));
    let place = (String::new(), "events".to_owned());
    let events: Vec<String> = world
        .store
        .list(&place, Some("space"))
        .map(|(_, event)| format!("{}: {}", text(event, "/reason"), text(event, "/message")))
        .collect();
    (waiting("reason"), waiting("message"), events.first().cloned().unwrap_or_default())
}

fn variable(from: &Value) -> Value {
    json!({"spec": {"containers": [{"name": "c", "image": "x:1", "env": [{"name": "A", "valueFrom": from}]}]}})
}

fn volume(source: &Value) -> Value {
    let mut volume = json!({"name": "v"});
    merge(&mut volume, source);
    json!({"spec": {"volumes": [volume]}})
}

#[tokio::test(start_paused = true)]
async fn a_variable_needs_its_key() {
    for (from, told) in [
        (json!({"secretKeyRef": {"name": "db", "key": "password"}}), ""),
        (json!({"secretKeyRef": {"name": "db", "key": "pasword"}}), "couldn't find key pasword in Secret space/db"),
        (json!({"secretKeyRef": {"name": "db", "key": "pasword", "optional": true}}), ""),
        (json!({"secretKeyRef": {"name": "bd", "key": "password"}}), "secret \"bd\" not found"),
        (
            json!({"configMapKeyRef": {"name": "app", "key": "b.yaml"}}),
            "couldn't find key b.yaml in ConfigMap space/app",
        ),
        (json!({"configMapKeyRef": {"name": "app", "key": "b.bin"}}), "couldn't find key b.bin in ConfigMap space/app"),
        (json!({"configMapKeyRef": {"name": "app", "key": "a.yaml"}}), ""),
        (json!({"secretKeyRef": {"name": "filled", "key": "token"}}), ""),
        (json!({"secretKeyRef": {"name": "played", "key": "uri"}}), ""),
        (json!({"secretKeyRef": {"name": "shared", "key": "merged"}}), ""),
    ] {
        let reason = if told.is_empty() { "" } else { "CreateContainerConfigError" };
        let (why, message, _) = fate(variable(&from)).await;
        assert_eq!((why.as_str(), message.as_str()), (reason, told), "{from}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_volume_is_not_mounted_without_what_it_is_made_of() {
    for (source, told) in [
        (json!({"secret": {"secretName": "db", "items": [{"key": "password", "path": "p"}]}}), ""),
        (
            json!({"secret": {"secretName": "db", "items": [{"key": "pasword", "path": "p"}]}}),
            "references non-existent secret key: pasword",
        ),
        (json!({"secret": {"secretName": "db", "optional": true, "items": [{"key": "pasword", "path": "p"}]}}), ""),
        (json!({"secret": {"secretName": "bd"}}), "secret \"bd\" not found"),
        (json!({"secret": {"secretName": "bd", "optional": true}}), ""),
        (json!({"configMap": {"name": "pap"}}), "configmap \"pap\" not found"),
        (json!({"configMap": {"name": "app", "items": [{"key": "b.bin", "path": "p"}]}}), ""),
        (
            json!({"configMap": {"name": "app", "items": [{"key": "c", "path": "p"}]}}),
            "references non-existent config key: c",
        ),
        (
            json!({"projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}, {"serviceAccountToken": {"path": "t"}}]}}),
            "",
        ),
        (json!({"projected": {"sources": [{"secret": {"name": "bd"}}]}}), "secret \"bd\" not found"),
        (
            json!({"projected": {"sources": [{"secret": {"name": "db", "items": [{"key": "x", "path": "p"}]}}]}}),
            "references non-existent secret key: x",
        ),
        (json!({"secret": {"secretName": "played", "items": [{"key": "uri", "path": "p"}]}}), ""),
    ] {
        let (why, message, event) = fate(volume(&source)).await;
        let expected = if told.is_empty() {
            (String::new(), String::new())
        } else {
            ("ContainerCreating".into(), format!("FailedMount: MountVolume.SetUp failed for volume \"v\" : {told}"))
        };
        assert_eq!((why, event), expected, "{source}");
        assert_eq!(message, "", "{source}");
    }
}
