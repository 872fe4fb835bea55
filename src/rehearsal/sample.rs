//! A simulated cluster for tests that look at it from inside.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde_json::{Value, json};

use super::controllers::run_due;
use super::store::Key;
use super::{Model, World};
use crate::manifest::yaml::parse_node;

/// A cluster of some nodes with the namespace `space`.
pub(crate) fn world(nodes: usize) -> World {
    let mut world = World::new("2026-01-01T00:00:00Z".parse().unwrap(), nodes, Model::default(), true);
    world.make(&Key::new("", "namespaces", "", "space"), json!({}));
    world
}

/// The key of a pod, a claim or another object of the core group in `space`.
pub(crate) fn key(resource: &str, name: &str) -> Key {
    Key::new(
        "",
        resource,
        if resource.starts_with("persistentvolumes") || resource == "nodes" { "" } else { "space" },
        name,
    )
}

/// Makes an object of this body, written as YAML.
pub(crate) fn make(world: &mut World, key: &Key, body: &str) {
    world.make(key, parse_node(body).unwrap().unwrap().to_value());
}

/// Lets some seconds pass.
pub(crate) async fn pass(world: &mut World, seconds: u64) {
    let end = tokio::time::Instant::now() + Duration::from_secs(seconds);
    run_due(world);
    while let Some(next) = world.next().filter(|next| *next <= end) {
        tokio::time::sleep_until(next).await;
        run_due(world);
    }
    tokio::time::sleep_until(end).await;
}

/// A text of an object; empty where it has none, or is not there.
pub(crate) fn said(world: &World, key: &Key, pointer: &str) -> String {
    let found = world.store.get(key).and_then(|object| object.pointer(pointer)).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}

/// The messages of all events about an object.
pub(crate) fn events(world: &World, about: &str) -> Vec<String> {
    let place = (String::new(), "events".to_owned());
    let told = world.store.list(&place, None).filter(|(_, event)| event["involvedObject"]["name"] == about);
    told.map(|(_, event)| event["message"].as_str().unwrap_or_default().to_owned()).collect()
}
