#![allow(clippy::unwrap_used)]

use tokio::time::{Duration, sleep_until};

use super::*;
use crate::health::status::{Related, status};
use crate::rehearsal::Model;
use crate::rehearsal::controllers::run_due;

/// A cluster after so many virtual minutes in which `object` of the group `db.example` was made under a definition with a version
/// of these fields; the object then, and how often it was written.
async fn after_minutes(minutes: u64, version: Value, object: Value) -> (Value, usize) {
    let started = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut world = World::new(started, 1, Model::default(), true);
    let mut served = json!({"name": "v1", "served": true, "storage": true});
    served.as_object_mut().unwrap().extend(version.as_object().unwrap().clone());
    let definition = json!({"spec": {"group": "db.example", "scope": "Namespaced",
        "names": {"kind": "Place", "plural": "places"}, "versions": [served]}});
    let of_definition = Key::new("apiextensions.k8s.io", "customresourcedefinitions", "", "places.db.example");
    world.make(&of_definition, definition);
    let end = tokio::time::Instant::now() + Duration::from_secs(60 * minutes);
    let place = Key::new("db.example", "places", "space", "main");
    let (mut versions, mut last) = (0, Value::Null);
    while let Some(next) = world.next().filter(|next| *next < end) {
        sleep_until(next).await;
        run_due(&mut world);
        world.make(&place, object.clone());
        let version = world.store.get(&place).map(|it| it["metadata"]["resourceVersion"].clone()).unwrap_or_default();
        versions += usize::from(std::mem::replace(&mut last, version.clone()) != version);
    }
    let definition = world.store.get(&of_definition).unwrap();
    let object = world.store.get(&place).unwrap();
    let judged = status(object, Related { crd: Some(definition), ..Related::default() });
    assert!(judged.is_ready(), "{judged:?}: {object}");
    ((**object).clone(), versions)
}

#[tokio::test(start_paused = true)]
async fn a_status_that_stands_in_the_schema_alone_is_written_once() {
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {
        "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}}}}});
    for subresources in [json!({}), Value::Null] {
        let version = json!({"schema": schema, "subresources": subresources});
        let object = json!({"metadata": {"generation": 1}, "spec": {}});
        let (object, written) = after_minutes(10, version, object).await;
        // What has no path of its own for its status changes its generation with each status.
        assert!(object.pointer("/status/observedGeneration").is_none(), "{object}");
        assert_eq!(written, 2, "made, and written to");
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_without_an_observed_generation_is_not_written_again_and_again() {
    let version = json!({"subresources": {"status": {}}, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
        "status": {"type": "object", "properties": {"phase": {"type": "string"},
            "conditions": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}}}});
    let ready = json!({"rekindle.dev/ready": "object.status.phase == 'Running'"});
    let (object, written) = after_minutes(10, version, json!({"metadata": {"annotations": ready}})).await;
    assert_eq!(object["status"]["phase"], "Running");
    assert_eq!(written, 2, "made, and written to");
}
