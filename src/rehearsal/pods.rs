//! The life of a pod: a node, its volumes, images, containers, being ready; or whatever the model makes go wrong.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::archives::printed;
use super::controllers::Step;
use super::deletion::{is_dying, uid};
use super::filling::{self, Filling, Via};
use super::model::Fate;
use super::scheduling;
use super::sources;
use super::store::Key;
use super::world::World;
use crate::data::backups::Archive;

/// What happens next to a pod that has a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Life {
    /// Its images are there, or cannot be had.
    Pulled,
    /// Its containers run.
    Started,
    /// They look for a neighbour to copy the data from.
    Looking,
    /// It is ready.
    Ready,
    /// Its containers end: of a Job when it is done, otherwise by a crash.
    Ended,
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(object: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// The claims that a pod mounts.
pub fn claims(pod: &Value) -> Vec<String> {
    let claims = list(pod, "/spec/volumes").map(|volume| text(volume, "/persistentVolumeClaim/claimName").to_owned());
    claims.filter(|name| !name.is_empty()).collect()
}

/// The pods that mount a claim.
pub fn mounting(world: &World, claim: &Key) -> Vec<Key> {
    let pods = world.store.list(&(String::new(), "pods".into()), Some(&claim.namespace));
    let mounting = pods.filter(|(_, pod)| claims(pod).contains(&claim.name));
    mounting.map(|((namespace, name), _)| Key::new("", "pods", namespace, name)).collect()
}

/// The workload that a pod belongs to in the end, as `Kind/name`.
pub fn workload(world: &World, pod: &Value) -> String {
    let owner = |object: &Value| {
        let owner = object.pointer("/metadata/ownerReferences/0")?;
        Some((text(owner, "/apiVersion").to_owned(), text(owner, "/kind").to_owned(), text(owner, "/name").to_owned()))
    };
    let Some((version, kind, name)) = owner(pod) else { return format!("Pod/{}", text(pod, "/metadata/name")) };
    let above = world.key_of(&version, &kind, text(pod, "/metadata/namespace"), &name);
    let above = above.and_then(|key| world.store.get(&key)).and_then(|object| owner(object));
    above.map_or_else(|| format!("{kind}/{name}"), |(_, kind, name)| format!("{kind}/{name}"))
}

/// The scheduler looks at a pod without a node, or the node at one that has just come.
pub fn look(world: &mut World, key: &Key) {
    let Some(pod) = world.store.get(key).cloned() else { return };
    if is_dying(&pod) || pod.pointer("/status/conditions").is_some_and(|_| !text(&pod, "/spec/nodeName").is_empty()) {
        return;
    }
    if text(&pod, "/spec/nodeName").is_empty() && !scheduling::place(world, key, &pod) {
        return;
    }
    let now = world.now();
    world.edit(key, |pod| {
        pod["status"]["startTime"] = now.clone().into();
        set_condition(pod, "PodScheduled", "True", "", &now);
        set_condition(pod, "Initialized", "False", "", &now);
        set_condition(pod, "Ready", "False", "ContainersNotReady", &now);
        states(pod, &json!({"waiting": {"reason": "ContainerCreating"}}), false);
    });
    let pull = pull_time(world, &pod, key);
    let schedule = world.model.schedule;
    world.plan(Step::Pod(key.clone(), uid(&pod), Life::Pulled), schedule + pull);
}

/// How long the images that are not on the node yet take.
fn pull_time(world: &mut World, pod: &Value, key: &Key) -> Duration {
    let node = world.store.get(key).map(|pod| text(pod, "/spec/nodeName").to_owned()).unwrap_or_default();
    let measured = world.model.measured.contains_key(&workload(world, pod));
    let mut time = Duration::ZERO;
    for container in list(pod, "/spec/initContainers").chain(list(pod, "/spec/containers")) {
        if world.pulled.insert((node.clone(), text(container, "/image").to_owned())) {
            time += if measured { Duration::ZERO } else { world.model.pull };
        }
    }
    time
}

/// What is made to happen to a pod: what the model says of its workload; and a lookup fails where nothing can be read.
fn fate(world: &World, pod: &Value, workload: &str) -> Option<Fate> {
    match world.archives.found_by(pod) {
        Some((Archive::Unknown(_), _)) => Some(Fate::Crash),
        _ => world.model.fate(workload),
    }
}

/// Pause between questions to a pod that never becomes ready: somebody may mend it.
const NEVER: Duration = Duration::from_secs(60);

/// The next thing in a pod's life.
pub fn live(world: &mut World, key: &Key, of: &str, life: Life) {
    let Some(pod) = world.store.get(key).cloned() else { return };
    if uid(&pod) != of || (is_dying(&pod) && life != Life::Ended) {
        return;
    }
    let workload = workload(world, &pod);
    let fate = fate(world, &pod, &workload);
    let next =
        |world: &mut World, life: Life, after: Duration| world.plan(Step::Pod(key.clone(), of.to_owned(), life), after);
    let now = world.now();
    match life {
        Life::Pulled => {
            // Volumes come before images.
            if let Some(missing) = sources::missing_for_volumes(world, &pod) {
                tell_unmounted(world, &pod, &missing);
                next(world, Life::Pulled, Duration::from_secs(10));
                return;
            }
            if fate == Some(Fate::Pull) {
                let image = text(&pod, "/spec/containers/0/image").to_owned();
                world.edit(key, |pod| {
                    let message = format!("Back-off pulling image {image:?}: ErrImagePull: {image}: not found");
                    states(pod, &json!({"waiting": {"reason": "ImagePullBackOff", "message": message}}), false);
                });
                event(world, &pod, "Failed", &format!("Failed to pull image {image:?}: {image}: not found"));
                // The node tries again, and later and later.
                next(world, Life::Pulled, Duration::from_secs(120));
                return;
            }
            if let Some(missing) = sources::missing_for_variables(world, &pod) {
                world.edit(key, |pod| {
                    states(
                        pod,
                        &json!({"waiting": {"reason": "CreateContainerConfigError", "message": missing}}),
                        false,
                    );
                });
                event(world, &pod, "Failed", &format!("Error: {missing}"));
                next(world, Life::Pulled, Duration::from_secs(10));
                return;
            }
            let container = world.model.container;
            next(world, Life::Started, container);
        }
        Life::Started => {
            let address = format!("10.244.{}.{}", world.number() % 250, world.number() % 250 + 1);
            world.edit(key, |pod| {
                pod["status"]["phase"] = json!("Running");
                pod["status"]["podIP"] = address.into();
                set_condition(pod, "Initialized", "True", "", &now);
                states(pod, &json!({"running": {"startedAt": now}}), false);
            });
            match fate {
                Some(Fate::Crash) => next(world, Life::Ended, Duration::from_secs(3)),
                Some(Fate::Never) => next(world, Life::Ready, NEVER),
                Some(Fate::Pull) | None => {
                    let looks = world.archives.found_by(&pod).is_some();
                    let time = if looks { world.model.lookup } else { world.model.until_ready(&workload, &pod) };
                    let life = if workload.starts_with("Job/") { Life::Ended } else { Life::Ready };
                    let filling =
                        if world.model.covers_data(&workload) { None } else { filling::begin(world, &pod, &workload) };
                    match filling {
                        Some(Filling { via: Via::Neighbour, time: more, .. }) => {
                            filling::wait(world, key, time + more);
                            next(world, Life::Looking, Duration::ZERO);
                        }
                        filling => next(world, life, time + filling.map(|it| it.time).unwrap_or_default()),
                    }
                }
            }
        }
        // Whoever becomes ready beside it lets it look again.
        Life::Looking if !filling::has_neighbour(world, &pod) => {}
        Life::Looking => {
            if let Some(time) = filling::end_of_wait(world, key) {
                next(world, Life::Ready, time);
            }
        }
        Life::Ready if fate == Some(Fate::Never) => next(world, Life::Ready, NEVER),
        // It was made never to end, and has been mended since.
        Life::Ready if workload.starts_with("Job/") => next(world, Life::Ended, Duration::ZERO),
        Life::Ready => {
            let after = world.elapsed().as_millis().to_string();
            world.edit(key, |pod| {
                set_condition(pod, "Ready", "True", "", &now);
                set_condition(pod, "ContainersReady", "True", "", &now);
                pod["metadata"]["annotations"]["rehearsal/ready-after"] = after.into();
                for status in
                    pod.pointer_mut("/status/containerStatuses").and_then(Value::as_array_mut).into_iter().flatten()
                {
                    status["ready"] = json!(true);
                }
            });
            for (other, of) in filling::waiting_beside(world, &pod) {
                world.plan(Step::Pod(other, of, Life::Looking), filling::LOOK);
            }
        }
        Life::Ended if fate == Some(Fate::Crash) => crash(world, key, of, &pod, &now),
        // It was about to crash, and has been mended since.
        Life::Ended if !workload.starts_with("Job/") => next(world, Life::Ready, Duration::ZERO),
        Life::Ended => world.edit(key, |pod| {
            pod["status"]["phase"] = json!("Succeeded");
            set_condition(pod, "Ready", "False", "PodCompleted", &now);
            states(pod, &json!({"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": now}}), false);
        }),
    }
}

/// A container exits; it is started again after a pause that doubles up to five minutes, unless the pod is done then.
fn crash(world: &mut World, key: &Key, of: &str, pod: &Value, now: &str) {
    let restarts = pod.pointer("/status/containerStatuses/0/restartCount").and_then(Value::as_u64).unwrap_or_default();
    let ended = json!({"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": now}});
    if text(pod, "/spec/restartPolicy") == "Never" {
        world.edit(key, |pod| {
            pod["status"]["phase"] = json!("Failed");
            states(pod, &ended, false);
        });
        return;
    }
    let pause = Duration::from_secs(10 * (1 << restarts.min(5))).min(Duration::from_secs(300));
    world.edit(key, |pod| {
        let name = text(pod, "/spec/containers/0/name").to_owned();
        states(
            pod,
            &json!({"waiting": {"reason": "CrashLoopBackOff",
            "message": format!("back-off {} s restarting failed container={name}", pause.as_secs())}}),
            false,
        );
        for status in pod.pointer_mut("/status/containerStatuses").and_then(Value::as_array_mut).into_iter().flatten() {
            status["restartCount"] = (restarts + 1).into();
            status["lastState"] = ended.clone();
        }
    });
    if restarts == 0 {
        let name = text(pod, "/spec/containers/0/name").to_owned();
        event(world, pod, "BackOff", &format!("Back-off restarting failed container {name}"));
    }
    world.plan(Step::Pod(key.clone(), of.to_owned(), Life::Started), pause);
}

/// Warns of a volume that cannot be mounted; the same is told once.
fn tell_unmounted(world: &mut World, pod: &Value, why: &str) {
    let place = (String::new(), "events".to_owned());
    let mut events = world.store.list(&place, Some(text(pod, "/metadata/namespace")));
    let told = events.any(|(_, event)| {
        text(event, "/involvedObject/uid") == uid(pod)
            && text(event, "/reason") == "FailedMount"
            && text(event, "/message") == why
    });
    drop(events);
    if !told {
        event(world, pod, "FailedMount", why);
    }
}

/// Puts all containers into a state.
fn states(pod: &mut Value, state: &Value, ready: bool) {
    let known = pod.pointer("/status/containerStatuses").and_then(Value::as_array).cloned().unwrap_or_default();
    let statuses: Vec<Value> = list(pod, "/spec/containers")
        .map(|container| {
            let before = known.iter().find(|it| it["name"] == container["name"]);
            let mut status = json!({"name": container["name"], "image": container["image"], "ready": ready,
                "restartCount": before.map_or(json!(0), |it| it["restartCount"].clone()), "state": state});
            if let Some(last) = before.and_then(|it| it.get("lastState")) {
                status["lastState"] = last.clone();
            }
            status
        })
        .collect();
    pod["status"]["containerStatuses"] = statuses.into();
}

fn set_condition(object: &mut Value, kind: &str, status: &str, reason: &str, now: &str) {
    let mut list = object.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut condition = json!({"type": kind, "status": status, "lastTransitionTime": now});
    if !reason.is_empty() {
        condition["reason"] = reason.into();
    }
    match list.iter_mut().find(|it| it["type"] == kind) {
        Some(known) if known["status"] == status => {}
        Some(known) => *known = condition,
        None => list.push(condition),
    }
    object["status"]["conditions"] = list.into();
}

/// Writes a warning about an object, as its node or its controller does.
pub fn event(world: &mut World, about: &Value, reason: &str, message: &str) {
    let now = world.now();
    let (name, namespace) = (text(about, "/metadata/name"), text(about, "/metadata/namespace").to_owned());
    let event = format!("{name}.{:x}", world.number());
    let body = json!({
        "involvedObject": {"kind": about["kind"], "namespace": namespace, "name": name, "uid": uid(about),
            "apiVersion": about["apiVersion"]},
        "reason": reason, "message": message, "type": "Warning", "count": 1, "firstTimestamp": now, "lastTimestamp": now,
        "source": {"component": if about["kind"] == "Pod" { "kubelet" } else { "controller" }},
    });
    world.make(&Key::new("", "events", &namespace, &event), body);
}

/// The variables of a pod's containers that come from Secrets, as `NAME=value`.
fn secrets(world: &World, pod: &Value) -> Vec<String> {
    let variables = list(pod, "/spec/containers").flat_map(|container| list(container, "/env"));
    let told = variables.filter_map(|variable| {
        let source = variable.pointer("/valueFrom/secretKeyRef")?;
        let key = Key::new("", "secrets", text(pod, "/metadata/namespace"), text(source, "/name"));
        let value = world.store.get(&key)?.get("data")?.get(text(source, "/key"))?.as_str()?;
        let value = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
        Some(format!("{}={value}", text(variable, "/name")))
    });
    told.collect()
}

/// What the containers of a pod have written last.
pub fn last_words(world: &World, pod: &Value) -> String {
    if let Some((archive, tool)) = world.archives.found_by(pod) {
        return printed(tool, &archive);
    }
    match world.model.fate(&workload(world, pod)) {
        Some(Fate::Crash) => {
            let secrets = if world.model.careless { secrets(world, pod).join(" ") } else { String::new() };
            let with = if secrets.is_empty() { String::new() } else { format!(" with {secrets}") };
            format!("rehearsal: this container was made to exit with code 1{with}\n")
        }
        Some(Fate::Never) => "rehearsal: this container was made to run without ever becoming ready\n".into(),
        _ => String::new(),
    }
}
