//! What must hold at each event and after each run, judged by what the simulated cluster really holds.

use std::collections::BTreeSet;

use serde_json::Value;

use super::scene::{Item, SPACE, Scene};
use crate::rebuild::event::{Event, EventKind, ObjectName};
use crate::rehearsal::World;
use crate::rehearsal::controllers::is_ready;
use crate::rehearsal::request::selects;
use crate::rehearsal::store::Key;

pub fn name(object: &ObjectName) -> String {
    format!("{}/{}", object.kind, object.name)
}

/// What an event says is true at its moment.
pub fn is_true(scene: &Scene, world: &World, event: &Event) -> Result<(), String> {
    match &event.kind {
        EventKind::ObjectApplied { phase, object, .. } => {
            let full = name(object);
            if let Some((gate, _)) =
                scene.sign.filter(|_| !has_sign(world)).filter(|(gate, _)| *gate < Scene::phase(phase))
            {
                return Err(format!("{full} of {phase} was sent before the gate of phase {gate} could pass"));
            }
            let Some(item) = scene.item(&full) else { return Ok(()) };
            if world.store.get(&item.key()).is_none() && !world.may_be_gone(&item.key()) {
                return Err(format!("{full} was told to be there, and is not"));
            }
            match item.reads.as_deref().and_then(|reads| scene.item(reads)) {
                Some(read) if world.store.get(&read.key()).is_none() => {
                    Err(format!("{full} was sent before {}, which it reads", read.full()))
                }
                _ => Ok(()),
            }
        }
        EventKind::ObjectReady { object, .. } => match scene.item(&name(object)) {
            Some(item) => really_ready(world, item),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn has_sign(world: &World) -> bool {
    world.store.get(&Key::new("", "configmaps", "default", "sign")).is_some()
}

/// Counts pods, whatever the workload's status says.
fn really_ready(world: &World, item: &Item) -> Result<(), String> {
    let Some(live) = world.store.get(&item.key()) else {
        if world.may_be_gone(&item.key()) {
            return Ok(());
        }
        return Err(format!("{} is ready and not there", item.full()));
    };
    let place = (String::new(), "pods".to_owned());
    let pods = || world.store.list(&place, Some(SPACE)).map(|(_, pod)| pod);
    let image = |object: &Value, pointer: &str| object.pointer(pointer).cloned();
    let (found, wanted) = match item.kind {
        "Deployment" | "StatefulSet" => {
            let wanted = image(live, "/spec/template/spec/containers/0/image");
            let ours = |pod: &&std::sync::Arc<Value>| {
                selects(&live["spec"]["selector"], pod)
                    && is_ready(pod)
                    && image(pod, "/spec/containers/0/image") == wanted
            };
            (pods().filter(ours).count() as u64, live["spec"]["replicas"].as_u64().unwrap_or(1))
        }
        "Job" => {
            let job = item.name.as_str();
            let done = |pod: &&std::sync::Arc<Value>| {
                pod.pointer("/metadata/labels/job-name").is_some_and(|name| name == job)
                    && pod.pointer("/status/phase").is_some_and(|phase| phase == "Succeeded")
            };
            (pods().filter(done).count() as u64, 1)
        }
        "Service" if live["spec"]["type"] == "LoadBalancer" => {
            (u64::from(live.pointer("/status/loadBalancer/ingress/0").is_some()), 1)
        }
        _ => return Ok(()),
    };
    if found >= wanted { Ok(()) } else { Err(format!("{} was told to be ready with {found} of {wanted}", item.full())) }
}

/// Phases one after the other, what was declared before what needs it, nothing ready before it was sent.
pub fn in_order(events: &[Event], scene: &Scene) {
    let mut ready: BTreeSet<String> = BTreeSet::new();
    let mut sent: BTreeSet<String> = BTreeSet::new();
    let mut finished = 0;
    for event in events {
        match &event.kind {
            EventKind::ObjectApplied { phase, object, .. } => {
                assert_eq!(finished, Scene::phase(phase), "{} was sent in the wrong phase", name(object));
                let after = scene.item(&name(object)).and_then(|item| item.after.as_ref());
                if let Some(need) = after {
                    assert!(ready.contains(need), "{} was sent before {need} was ready", name(object));
                }
                sent.insert(name(object));
            }
            EventKind::ObjectReady { object, .. } => {
                assert!(sent.contains(&name(object)), "{} was ready before it was sent", name(object));
                ready.insert(name(object));
            }
            EventKind::PhaseFinished { summary } => {
                assert_eq!(summary.ready, summary.objects);
                assert_eq!(summary.passed, summary.gates, "{} finished without all its gates", summary.phase);
                finished += 1;
            }
            _ => {}
        }
    }
}

/// Phases that a run finished and wrote into its record: it went on to the next one, and said nothing of a record that could
/// not be written.
pub fn recorded(events: &[Event]) -> BTreeSet<String> {
    let warned = |event: &Event| matches!(&event.kind, EventKind::Warning { message } if message.contains("inventory"));
    if events.iter().any(warned) {
        return BTreeSet::new();
    }
    let started = events.iter().filter_map(|event| match &event.kind {
        EventKind::PhaseStarted { phase } => Some(phase.clone()),
        _ => None,
    });
    let mut started: Vec<String> = started.collect();
    started.pop();
    started.into_iter().collect()
}
