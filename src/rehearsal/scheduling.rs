//! The scheduler: a node for a pod, and with it the volumes of claims that wait for their pod. Source: the filters that
//! kube-scheduler runs by default, in their order, and their words.

mod filters;
mod neighbours;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use self::filters::{Usage, are_taken, refusal};
use self::neighbours::Neighbours;
use super::controllers::Step;
use super::controllers::matching::{best, is_reserved_for};
use super::controllers::storage::{bind, unprovided, waits_for_pod};
use super::pods::claims;
use super::store::Key;
use super::world::World;

pub use self::filters::{HostPort, admits, daemon_tolerations, labels, volume_reaches, wants};
pub use self::neighbours::{APART, TOGETHER, term_selects};

/// How soon the scheduler tries again, and how late at most: what stood in the way may have changed.
const AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// The scheduler's mark on a claim for which a volume is to be made.
const SELECTED: &str = "volume.kubernetes.io/selected-node";

pub(super) fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn list<'v>(object: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// A node with what the scheduler asks it for.
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its labels, and its name.
    pub labels: BTreeMap<String, String>,
    /// As it is stored.
    pub body: Arc<Value>,
}

/// A claim of a pod that is not bound yet.
struct Unbound {
    key: Key,
    claim: Arc<Value>,
}

/// Gives a pod a node, once its claims are there and bound; else says on the pod why not.
pub fn place(world: &mut World, key: &Key, pod: &Value) -> bool {
    let nodes: Vec<(String, Arc<Value>)> = {
        let nodes = world.store.list(&(String::new(), "nodes".into()), None);
        nodes.map(|((_, name), body)| (name.clone(), body.clone())).collect()
    };
    if nodes.is_empty() {
        return wait(world, key, pod, "no nodes available to schedule pods");
    }
    let (mut bound, mut unbound) = (Vec::new(), Vec::new());
    for claim in claims(pod) {
        let name = Key::new("", "persistentvolumeclaims", &key.namespace, &claim);
        let Some(found) = world.store.get(&name).cloned() else {
            return wait(world, key, pod, &format!("persistentvolumeclaim {claim:?} not found"));
        };
        if text(&found, "/status/phase") == "Bound" {
            let volume = Key::new("", "persistentvolumes", "", text(&found, "/spec/volumeName"));
            bound.extend(world.store.get(&volume).cloned());
        } else if !text(&found, "/spec/volumeName").is_empty() || !waits_for_pod(world, &found) {
            return wait(world, key, pod, UNBOUND);
        } else {
            unbound.push(Unbound { key: name, claim: found });
        }
    }
    // Pods of one owner spread over the nodes by their numbers or, without any, by what has been made so far.
    let number = key.name.rsplit('-').next().and_then(|text| text.parse::<usize>().ok());
    let number = number.unwrap_or_else(|| usize::try_from(world.number()).unwrap_or_default());
    let first = number % nodes.len();
    let usage = nodes.iter().any(|(_, node)| node.pointer("/status/allocatable").is_some()).then(|| Usage::of(world));
    let ports = HostPort::of(pod);
    let neighbours = Neighbours::of(world, pod, &nodes);
    let mut refusals: BTreeMap<String, usize> = BTreeMap::new();
    for (name, body) in nodes[first..].iter().chain(&nodes[..first]) {
        let node = Node { name: name.clone(), labels: labels(body), body: body.clone() };
        let why = refusal(pod, &node, usage.as_ref())
            .or_else(|| are_taken(world, &ports, &node.name).then(|| NO_PORT.into()))
            .or_else(|| bound.iter().any(|volume| !volume_reaches(volume, &node.labels)).then(|| CONFLICT.into()));
        let volumes = if why.is_none() { volumes_at(world, &unbound, &node) } else { None };
        let why = why
            .or_else(|| volumes.is_none().then(|| NO_VOLUME.into()))
            .or_else(|| neighbours.refusal(&node).map(str::to_owned));
        if let Some(why) = why {
            *refusals.entry(why).or_default() += 1;
            continue;
        }
        return take(world, key, pod, &node.name, &unbound, volumes.unwrap_or_default());
    }
    let mut refusals: Vec<String> = refusals.into_iter().map(|(why, count)| format!("{count} {why}")).collect();
    refusals.sort();
    wait(world, key, pod, &format!("0/{} nodes are available: {}.", nodes.len(), refusals.join(", ")))
}

const UNBOUND: &str = "pod has unbound immediate PersistentVolumeClaims";
const NO_PORT: &str = "node(s) didn't have free ports for the requested pod ports";
const CONFLICT: &str = "node(s) had volume node affinity conflict";
const NO_VOLUME: &str = "node(s) didn't find available persistent volumes to bind";

/// For each claim a volume that fits it at a node, or nothing where one is made for it; `None` when neither is possible.
fn volumes_at(world: &World, unbound: &[Unbound], node: &Node) -> Option<Vec<Option<Key>>> {
    let mut taken: Vec<Option<Key>> = Vec::new();
    for Unbound { key, claim } in unbound {
        let chosen = claim.get("metadata")?.get("annotations").and_then(|all| all.get(SELECTED)?.as_str());
        if chosen.is_some_and(|chosen| chosen != node.name) {
            return None;
        }
        let is_free = |volume: &Value| {
            let name = text(volume, "/metadata/name");
            taken.iter().flatten().all(|key: &Key| key.name != name)
                && (volume_reaches(volume, &node.labels) || is_reserved_for(volume, key, claim))
        };
        let volume = best(world, key, claim, is_free);
        if volume.is_none() && unprovided(world, claim).is_some() {
            return None;
        }
        taken.push(volume);
    }
    Some(taken)
}

/// Puts a pod on a node, or lets volumes be made there first.
fn take(world: &mut World, key: &Key, pod: &Value, node: &str, unbound: &[Unbound], volumes: Vec<Option<Key>>) -> bool {
    let mut missing = false;
    for (Unbound { key, claim }, volume) in unbound.iter().zip(volumes) {
        match volume {
            Some(volume) => bind(world, key, claim, &volume),
            None => {
                missing = true;
                world.edit(key, |claim| {
                    let annotations = &mut claim["metadata"]["annotations"];
                    if annotations.get(SELECTED).is_none() {
                        annotations[SELECTED] = node.into();
                    }
                });
            }
        }
    }
    if missing {
        return wait(world, key, pod, UNBOUND);
    }
    world.edit(key, |pod| pod["spec"]["nodeName"] = node.into());
    true
}

/// Says on a pod why it has no node, and tries again later.
fn wait(world: &mut World, key: &Key, pod: &Value, message: &str) -> bool {
    let now = world.now();
    if text(pod, "/status/conditions/0/message") != message {
        world.edit(key, |pod| {
            pod["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "False", "lastTransitionTime": now,
                "reason": "Unschedulable", "message": message}]);
        });
    }
    let age = text(pod, "/metadata/creationTimestamp").parse::<jiff::Timestamp>().ok().zip(now.parse().ok());
    let age = age.map(|(made, now): (_, jiff::Timestamp)| now.duration_since(made).unsigned_abs()).unwrap_or_default();
    world.look(Step::Schedule(key.clone()), (age / 2).clamp(AGAIN.0, AGAIN.1));
    false
}

#[cfg(test)]
#[path = "scheduling/tests.rs"]
mod tests;
