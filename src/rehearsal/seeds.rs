//! Runs of the engine by chance: a seed makes a kit, a state of the cluster, and faults; whatever they are, the invariants
//! hold. The same seed gives the same run. `cargo xtask simulate` runs as many as wanted and replays one.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::faults::Chance;
use super::store::Key;
use super::*;
use crate::kit::{Kit, KitSource, Overrides};
use crate::plan::Plan;
use crate::rebuild::event::{Event, EventKind};
use crate::rebuild::{Options, run};
use crate::secrets::{SecretError, SecretSource};

/// Seeds of an ordinary test run.
const SEEDS: u64 = 24;

struct NoSecrets;

impl SecretSource for NoSecrets {
    fn secret(&self, name: &str) -> Result<secrecy::SecretString, SecretError> {
        Err(SecretError::Unknown(name.to_owned()))
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What a seed decides.
struct Scene {
    files: BTreeMap<String, Vec<u8>>,
    /// `Kind/name` of the workload that is made to fail, and how.
    fate: Option<(String, Fate)>,
    /// Share of requests that go wrong in the first runs.
    errors: f64,
    /// Objects that are somebody else's.
    foreign: Vec<Value>,
    /// What is done between the runs: objects that vanish.
    lost: Vec<Key>,
    /// `after`, by object.
    after: BTreeMap<String, String>,
}

fn scene(chance: &mut Chance) -> Scene {
    let phases = ["storage", "database", "services"];
    let used = 1 + chance.below(3);
    let (mut files, mut after) = (BTreeMap::new(), BTreeMap::new());
    files.insert("environments/test.yaml".to_owned(), b"namespace: space\n".to_vec());
    let names: Vec<String> = phases[..used].iter().map(|name| format!("{{name: {name}, timeout: 30m}}")).collect();
    files.insert(
        "templates/stack.yaml".to_owned(),
        format!("name: test\nphases: [{}]\n", names.join(", ")).into_bytes(),
    );
    let (mut workloads, mut lost) = (Vec::new(), Vec::new());
    for phase in &phases[..used] {
        let mut text = String::new();
        let mut here: Vec<String> = Vec::new();
        if *phase == "storage" {
            text.push_str("apiVersion: v1\nkind: Namespace\nmetadata: {name: space}\n---\n");
        }
        for index in 0..1 + chance.below(6) {
            let name = format!("{phase}-{index}");
            let mut annotations = String::new();
            if let (true, Some(other)) = (chance.happens(0.4), here.get(chance.below(here.len().max(1)))) {
                write!(annotations, ", annotations: {{rekindle.dev/after: {other}}}").unwrap();
            }
            let pods = format!(
                "selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: \
                 [{{name: c, image: 'image{}:1'}}]}}}}",
                chance.below(3)
            );
            let (kind, resource, body) = match chance.below(6) {
                0 => (
                    "ConfigMap",
                    "configmaps",
                    format!(
                        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}{annotations}}}\ndata: {{a: b}}\n"
                    ),
                ),
                1 => (
                    "Deployment",
                    "deployments",
                    format!(
                        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}{annotations}}}\nspec: {{replicas: {}, {pods}}}\n",
                        chance.below(4)
                    ),
                ),
                2 => (
                    "StatefulSet",
                    "statefulsets",
                    format!(
                        "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: {name}{annotations}}}\nspec: {{serviceName: x, replicas: {}, {pods}}}\n",
                        1 + chance.below(3)
                    ),
                ),
                3 => (
                    "Job",
                    "jobs",
                    format!(
                        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}{annotations}}}\nspec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: c, image: 'image:1'}}]}}}}}}\n"
                    ),
                ),
                4 => (
                    "Service",
                    "services",
                    format!(
                        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}{annotations}}}\nspec: {{type: {}, selector: {{app: x}}, ports: [{{port: 80}}]}}\n",
                        if chance.happens(0.3) { "LoadBalancer" } else { "ClusterIP" }
                    ),
                ),
                _ => (
                    "Secret",
                    "secrets",
                    format!(
                        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}{annotations}}}\ndata: {{a: c2VjcmV0}}\n"
                    ),
                ),
            };
            let full = format!("{kind}/{name}");
            if !annotations.is_empty() {
                let other = annotations.rsplit(' ').next().unwrap().trim_end_matches('}').to_owned();
                after.insert(full.clone(), other);
            }
            if matches!(kind, "Deployment" | "StatefulSet" | "Job") && !body.contains("replicas: 0") {
                workloads.push(full.clone());
            }
            if chance.happens(0.2) {
                let group = match kind {
                    "Deployment" | "StatefulSet" => "apps",
                    "Job" => "batch",
                    _ => "",
                };
                lost.push(Key::new(group, resource, "space", &name));
            }
            here.push(full);
            writeln!(text, "{body}---").unwrap();
        }
        if chance.happens(0.5) {
            write!(
                text,
                "apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {{name: {phase} is there}}\nspec: {{timeout: 10m, hold: {}s, condition: \
                 {{api_version: v1, kind: Namespace, name: space, ready: 'object.metadata.name == \"space\"'}}}}\n---\n",
                chance.below(5)
            )
            .unwrap();
        }
        files.insert(format!("templates/{phase}/all.yaml"), text.trim_end_matches("---\n").as_bytes().to_vec());
    }
    let fate = (chance.happens(0.3) && !workloads.is_empty()).then(|| {
        let workload = workloads[chance.below(workloads.len())].clone();
        (workload, [Fate::Crash, Fate::Pull, Fate::Never][chance.below(3)])
    });
    let foreign = (0..chance.below(3))
        .map(|index| {
            json!({"metadata": {"labels": {"rekindle.dev/environment": "other"}}, "data": {"index": index.to_string()}})
        })
        .collect();
    let errors = if chance.happens(0.6) { chance.share() * 0.15 } else { 0.0 };
    Scene { files, fate, errors, foreign, lost, after }
}

fn plan(files: &BTreeMap<String, Vec<u8>>) -> Plan {
    let kit = Kit { source: KitSource::Embedded, files: files.clone() };
    let environment = kit.environment("test", &Overrides::default()).unwrap();
    Plan::of(&kit.render(&environment, &NoSecrets).unwrap()).unwrap()
}

/// One run; what it told and how it ended. A run that cannot even look is begun again, as an operator would.
async fn up(simulation: &Simulation, plan: &Plan) -> (u8, Vec<Event>) {
    for _ in 0..50 {
        let Ok(cluster) = simulation.connect().await else { continue };
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let (_stop, stopped) = watch::channel(false);
        let options = Options {
            run: "run".into(),
            started: jiff::Timestamp::UNIX_EPOCH,
            stand_in: Some(simulation.answers()),
            ..Options::default()
        };
        let Ok(exit) = run(cluster, plan, options, sender, stopped).await else { continue };
        let mut events = Vec::new();
        while let Ok(event) = receiver.try_recv() {
            events.push(event);
        }
        return (exit, events);
    }
    panic!("the cluster was not reached in 50 tries");
}

fn name(object: &crate::rebuild::event::ObjectName) -> String {
    format!("{}/{}", object.kind, object.name)
}

/// Phases one after the other, what was declared before what needs it, nothing ready before it was sent.
fn in_order(plan: &Plan, events: &[Event], after: &BTreeMap<String, String>) {
    let mut ready: BTreeSet<String> = BTreeSet::new();
    let mut sent: BTreeSet<String> = BTreeSet::new();
    let mut finished = 0;
    for event in events {
        match &event.kind {
            EventKind::ObjectApplied { phase, object, .. } => {
                assert_eq!(plan.phases[finished].name, *phase, "{} was sent in the wrong phase", name(object));
                if let Some(need) = after.get(&name(object)) {
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
                finished += 1;
            }
            _ => {}
        }
    }
}

/// Runs a seed and checks the invariants; the events of its first run as text.
async fn play(seed: u64) -> String {
    let mut chance = Chance::new(seed);
    let scene = scene(&mut chance);
    let plan = plan(&scene.files);
    let mut model = Model::default();
    if let Some((workload, fate)) = &scene.fate {
        model.fates.insert(workload.clone(), *fate);
    }
    let simulation = Simulation::new(World::new(jiff::Timestamp::UNIX_EPOCH, 3, model, true), Faults::none());
    let others: Vec<Key> = (0..scene.foreign.len())
        .map(|index| Key::new("", "configmaps", "default", &format!("other-{index}")))
        .collect();
    for (key, body) in others.iter().zip(&scene.foreign) {
        simulation.world().make(key, body.clone());
    }
    let before: Vec<_> = others.iter().map(|key| simulation.world().store.get(key).cloned()).collect();
    simulation.go_wrong(Faults::new(seed, scene.errors));
    let (exit, events) = up(&simulation, &plan).await;
    in_order(&plan, &events, &scene.after);
    match &scene.fate {
        None => assert_eq!(exit, 0, "seed {seed}: {:?}", events.last()),
        Some((workload, _)) => {
            assert_eq!(exit, 7, "seed {seed}: {:?}", events.last());
            let failed = events.iter().find_map(|event| match &event.kind {
                EventKind::ObjectFailed { object, .. } => Some(name(object)),
                _ => None,
            });
            assert_eq!(failed.as_ref(), Some(workload), "the reason is right");
        }
    }
    // What was wrong is mended, something is lost, and it goes on from where it stopped.
    simulation.world().model.fates.clear();
    for key in &scene.lost {
        super::deletion::delete(&mut simulation.world(), key, super::deletion::Propagation::Background);
    }
    tokio::time::sleep(std::time::Duration::from_secs(900)).await;
    let (exit, again) = up(&simulation, &plan).await;
    assert_eq!(exit, 0, "seed {seed}: {:?}", again.last());
    in_order(&plan, &again, &scene.after);
    // Nothing is left to do then, and nothing is written.
    simulation.go_wrong(Faults::none());
    let _ = up(&simulation, &plan).await;
    simulation.world().writes.clear();
    let (exit, last) = up(&simulation, &plan).await;
    let Some(EventKind::RunFinished { written, .. }) = last.last().map(|event| &event.kind) else { panic!("{last:?}") };
    assert_eq!((exit, *written), (0, 0));
    let writes: Vec<String> = simulation.world().writes.iter().map(|(_, write)| write.clone()).collect();
    let writes: Vec<_> = writes.iter().filter(|write| !write.contains("reviews")).collect();
    assert!(writes.is_empty(), "{writes:?}");
    let now: Vec<_> = others.iter().map(|key| simulation.world().store.get(key).cloned()).collect();
    assert_eq!(now, before, "somebody else's objects are as they were");
    events.iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect()
}

fn play_alone(seed: u64) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let week = std::time::Duration::from_secs(7 * 24 * 3600);
        tokio::time::timeout(week, play(seed)).await.expect("it ends")
    })
}

/// A number of the process environment: this is how `cargo xtask simulate` says which seeds.
fn wish(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_the_seed_the_invariants_hold() {
    let first = wish("REKINDLE_SEED");
    let count = wish("REKINDLE_SEEDS").unwrap_or(SEEDS);
    let seeds: Vec<u64> = first.map_or_else(|| (0..count).collect(), |seed| vec![seed]);
    let failed: Vec<u64> = seeds
        .into_iter()
        .filter(|seed| {
            let outcome = std::panic::catch_unwind(|| {
                let told = play_alone(*seed);
                // One seed is one run, to the byte.
                if seed.is_multiple_of(10) {
                    let again = play_alone(*seed);
                    let lines = told.lines().zip(again.lines()).find(|(one, other)| one != other);
                    assert!(told == again, "seed {seed} gave another run the second time: {lines:?}");
                }
            });
            outcome.is_err()
        })
        .collect();
    let replay =
        failed.iter().map(|seed| format!("cargo xtask simulate --seed {seed}")).collect::<Vec<_>>().join("\n  ");
    assert!(failed.is_empty(), "{} seeds failed; to replay one:\n  {replay}", failed.len());
}
