//! Scripted controllers: what Kubernetes' own controllers, its nodes and a cloud do with the objects, in the times of the
//! [model](super::model). Each looks at one object at a time and does the next thing that is to be done.

mod cluster;
pub mod jobs;
pub mod matching;
pub mod operators;
mod sets;
mod statuses;
pub mod storage;
mod workloads;

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::deletion::{children, is_dying, settle, uid};
use super::pods::{self, Life};
use super::store::Key;
use super::world::World;

/// Something that happens at a moment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The controller of its kind looks at an object.
    Look(Key),
    /// The next thing in the life of a pod with this UID.
    Pod(Key, String, Life),
    /// The containers of a pod with this UID have ended.
    Stopped(Key, String),
    /// The scheduler tries again to place a pod.
    Schedule(Key),
    /// A claim gets its volume.
    Volume(Key),
    /// A Service or an Ingress gets its address.
    Address(Key),
    /// The kinds of a definition are served.
    Serve(Key),
    /// The operator of a custom resource has done what it wants.
    Operate(Key),
    /// The progress deadline of a Deployment's generation.
    Deadline(Key, u64),
}

/// Who looks when an object has changed: its own controller and that of its owner.
pub fn interested(world: &World, key: &Key, object: Option<&Value>) -> Vec<Step> {
    let mut steps = Vec::new();
    let looks = matches!(
        (key.group.as_str(), key.resource.as_str()),
        (
            "",
            "namespaces"
                | "pods"
                | "persistentvolumeclaims"
                | "persistentvolumes"
                | "services"
                | "resourcequotas"
                | "replicationcontrollers"
        ) | ("admissionregistration.k8s.io", "validatingadmissionpolicies")
            | ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets")
            | ("batch", "jobs" | "cronjobs")
            | ("networking.k8s.io", "ingresses")
            | ("policy", "poddisruptionbudgets")
            | ("autoscaling", "horizontalpodautoscalers")
            | ("apiextensions.k8s.io", "customresourcedefinitions")
            | ("apiregistration.k8s.io", "apiservices")
    );
    if (looks || operators::is_operated(world, key)) && world.store.get(key).is_some() {
        steps.push(Step::Look(key.clone()));
    }
    // A claim that is being deleted stays for as long as a pod mounts it.
    if key.group.is_empty() && key.resource == "pods" {
        let mounted = object.map(pods::claims).unwrap_or_default();
        let mounted = mounted.iter().map(|claim| Key::new("", "persistentvolumeclaims", &key.namespace, claim));
        steps.extend(mounted.filter(|claim| world.store.get(claim).is_some_and(|it| is_dying(it))).map(Step::Look));
    }
    // Pods that could not be made without this account can be now.
    if key.group.is_empty() && key.resource == "serviceaccounts" && world.store.get(key).is_some() {
        for (group, resource) in
            [("apps", "replicasets"), ("apps", "statefulsets"), ("apps", "daemonsets"), ("batch", "jobs")]
        {
            let there = world.store.list(&(group.to_owned(), resource.to_owned()), Some(&key.namespace));
            steps.extend(there.map(|((namespace, name), _)| Step::Look(Key::new(group, resource, namespace, name))));
        }
    }
    let owners = object.and_then(|object| object.pointer("/metadata/ownerReferences")).and_then(Value::as_array);
    for owner in owners.into_iter().flatten() {
        let text = |name: &str| owner.get(name).and_then(Value::as_str).unwrap_or_default();
        if let Some(owner) = world.key_of(text("apiVersion"), text("kind"), &key.namespace, text("name"))
            && world.store.get(&owner).is_some()
        {
            steps.push(Step::Look(owner));
        }
    }
    steps
}

/// Does everything that is due.
pub fn run_due(world: &mut World) {
    while let Some(step) = world.due() {
        match step {
            Step::Look(key) | Step::Schedule(key) => look(world, &key),
            Step::Pod(key, uid, life) => pods::live(world, &key, &uid, life),
            Step::Stopped(key, of) => {
                if world.store.get(&key).is_some_and(|pod| uid(pod) == of) {
                    world.edit(&key, |pod| pod["metadata"]["deletionGracePeriodSeconds"] = json!(0));
                    settle(world, &key);
                }
            }
            Step::Volume(key) => storage::provide_volume(world, &key),
            Step::Address(key) => cluster::give_address(world, &key),
            Step::Operate(key) => operators::operate(world, &key),
            Step::Serve(key) => cluster::establish(world, &key),
            Step::Deadline(key, generation) => workloads::deadline(world, &key, generation),
        }
    }
}

fn look(world: &mut World, key: &Key) {
    let Some(object) = world.store.get(key).cloned() else { return };
    if is_dying(&object) && !matches!(key.resource.as_str(), "persistentvolumeclaims" | "persistentvolumes" | "pods") {
        return settle(world, key);
    }
    match (key.group.as_str(), key.resource.as_str()) {
        ("", "namespaces") => cluster::namespace(world, key),
        ("", "pods") => pods::look(world, key),
        ("", "persistentvolumeclaims") => storage::claim(world, key),
        ("", "persistentvolumes") => storage::volume(world, key),
        ("", "services") | ("networking.k8s.io", "ingresses") => cluster::addressed(world, key),
        ("apps", "deployments") => workloads::deployment(world, key),
        ("apps", "replicasets") => workloads::replica_set(world, key),
        ("apps", "statefulsets") => sets::stateful_set(world, key),
        ("apps", "daemonsets") => sets::daemon_set(world, key),
        ("batch", "jobs") => jobs::job(world, key),
        ("policy", "poddisruptionbudgets") => cluster::disruption_budget(world, key),
        ("autoscaling", "horizontalpodautoscalers") => cluster::autoscaler(world, key),
        ("apiextensions.k8s.io", "customresourcedefinitions") => cluster::definition(world, key),
        ("apiregistration.k8s.io", "apiservices") => cluster::api_service(world, key),
        ("", "resourcequotas") => statuses::quota(world, key),
        ("", "replicationcontrollers") => workloads::replica_set(world, key),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => statuses::admission_policy(world, key),
        _ if operators::is_operated(world, key) => operators::changed(world, key),
        _ => {}
    }
}

/// Five letters and digits that a number gives, as Kubernetes puts them behind names.
pub fn letters(number: u64) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut rest = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16;
    let mut text = String::new();
    for _ in 0..5 {
        let at = usize::try_from(rest % ALPHABET.len() as u64).unwrap_or_default();
        text.push(char::from(ALPHABET[at]));
        rest /= ALPHABET.len() as u64;
    }
    text
}

/// A short hash of a template.
fn hash_of(value: &Value) -> String {
    let digest = Sha256::digest(value.to_string().as_bytes());
    digest[..5].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A reference to an owner that controls.
fn owner_reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    })
}

/// The pods of an owner that are not being deleted.
fn pods_of(world: &World, owner: &Value) -> Vec<(Key, std::sync::Arc<Value>)> {
    let own = children(world, owner).into_iter().filter(|key| key.resource == "pods" && key.group.is_empty());
    own.filter_map(|key| Some((key.clone(), world.store.get(&key)?.clone())))
        .filter(|(_, pod)| !is_dying(pod))
        .collect()
}

/// Whether a pod's condition `Ready` holds.
pub fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready") == Some("True")
}

/// The status of a condition.
pub fn condition<'v>(object: &'v Value, kind: &str) -> Option<&'v str> {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array)?;
    conditions.iter().find(|it| it["type"] == kind)?.get("status")?.as_str()
}

/// Makes a pod from a template.
///
/// # Errors
/// Why the API server would not take it, when its service account is not there; told by an event, too.
fn make_pod(
    world: &mut World,
    owner: &Value,
    name: &str,
    template: &Value,
    labels: &[(&str, &str)],
) -> Result<(), String> {
    let namespace = owner.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut metadata = template.get("metadata").cloned().unwrap_or_else(|| json!({}));
    for (label, value) in labels {
        metadata["labels"][*label] = json!(value);
    }
    metadata["ownerReferences"] = json!([owner_reference(owner)]);
    let mut spec = template.get("spec").cloned().unwrap_or_default();
    if spec.get("serviceAccountName").is_none() {
        spec["serviceAccountName"] = json!("default");
    }
    let account = spec["serviceAccountName"].as_str().unwrap_or_default();
    if world.store.get(&Key::new("", "serviceaccounts", &namespace, account)).is_none() {
        // Refused before a name was made up for it.
        let generated = owner.get("kind").and_then(Value::as_str) != Some("StatefulSet");
        let name = match name.rsplit_once('-').filter(|_| generated) {
            Some((before, _)) => format!("{before}-"),
            None => name.to_owned(),
        };
        let why = format!(
            "pods {name:?} is forbidden: error looking up service account {namespace}/{account}: serviceaccount {account:?} not found"
        );
        pods::event(world, owner, "FailedCreate", &format!("Error creating: {why}"));
        return Err(why);
    }
    world.make(&Key::new("", "pods", &namespace, name), json!({"metadata": metadata, "spec": spec}));
    Ok(())
}

/// A whole number of a field.
fn number(object: &Value, pointer: &str) -> Option<u64> {
    object.pointer(pointer).and_then(Value::as_u64)
}

/// Seconds of a field.
fn seconds(object: &Value, pointer: &str) -> Option<Duration> {
    number(object, pointer).map(Duration::from_secs)
}

/// How many, as JSON.
fn count<T>(of: &[T], which: impl Fn(&T) -> bool) -> u64 {
    of.iter().filter(|it| which(it)).count() as u64
}
