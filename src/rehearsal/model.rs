//! How long things take in the simulation, and what is made to go wrong. Where nothing was measured it is assumed, and the
//! rehearsal says so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::filling::Filling;

/// What is made to happen to the pods of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The container exits with code 1 again and again.
    Crash,
    /// The image cannot be pulled.
    Pull,
    /// They run and never become ready.
    Never,
}

/// Times and faults.
#[derive(Clone, Debug)]
pub struct Model {
    /// An answer of the API server to a question.
    pub read: Duration,
    /// An answer of the API server to a write.
    pub write: Duration,
    /// From a change to the look of a controller at it.
    pub controller: Duration,
    /// From a pod to its node.
    pub schedule: Duration,
    /// An image that is not on the node yet.
    pub pull: Duration,
    /// A container, from its image to running.
    pub container: Duration,
    /// A volume.
    pub volume: Duration,
    /// The address of a load balancer.
    pub address: Duration,
    /// A definition, until its kinds are served.
    pub definition: Duration,
    /// The operator of a custom resource, from a change to a status that says so.
    pub operator: Duration,
    /// A lookup of backups, from its container's start.
    pub lookup: Duration,
    /// Volumes that have to be filled with data before their pod is ready, by `namespace/claim`; each is taken off when it begins.
    pub fillings: BTreeMap<String, Filling>,
    /// Containers of a pod that is deleted, until they have ended.
    pub stop: Duration,
    /// Times from a start to being ready (or done, for Jobs), by `Kind/name`: what was measured or is supposed.
    pub ready: BTreeMap<String, Duration>,
    /// Times from being sent to being ready that a real run has measured, by `Kind/name`; images are in them.
    pub measured: BTreeMap<String, Duration>,
    /// Workloads in whose measured time the return of their data is.
    pub measured_with_data: BTreeSet<String>,
    /// What goes wrong, by `Kind/name`.
    pub fates: BTreeMap<String, Fate>,
    /// Share of requests that the API server answers with an error, 0 to 1.
    pub errors: f64,
    /// Whether containers that crash tell the settings they were started with, passwords among them.
    pub careless: bool,
    /// Rights that are not given, as `verb resource`.
    pub denied: Vec<String>,
}

impl Default for Model {
    fn default() -> Self {
        let milliseconds = Duration::from_millis;
        Self {
            read: milliseconds(3),
            write: milliseconds(6),
            controller: milliseconds(10),
            schedule: milliseconds(50),
            pull: Duration::from_secs(12),
            container: milliseconds(600),
            volume: Duration::from_secs(3),
            address: Duration::from_secs(20),
            definition: milliseconds(300),
            operator: Duration::from_secs(5),
            lookup: Duration::from_secs(3),
            fillings: BTreeMap::new(),
            stop: Duration::from_secs(2),
            ready: BTreeMap::new(),
            measured: BTreeMap::new(),
            measured_with_data: BTreeSet::new(),
            fates: BTreeMap::new(),
            errors: 0.0,
            careless: false,
            denied: Vec::new(),
        }
    }
}

/// Times from a start to being ready, by a word of the image's name. What a program needs depends on its data; these are
/// those of a small installation.
const ASSUMED: [(&str, u64); 6] =
    [("postgres", 20), ("index", 15), ("traefik", 3), ("redis", 2), ("nginx", 2), ("busybox", 1)];
/// The time of an image that no word is known of.
const OTHERS: u64 = 6;

impl Model {
    /// From the start of a workload's container to being ready, or to its end for Jobs.
    pub fn until_ready(&self, workload: &str, pod: &Value) -> Duration {
        if let Some(known) = self.ready.get(workload) {
            return *known;
        }
        if let Some(whole) = self.measured.get(workload) {
            return whole.saturating_sub(self.schedule + self.container + self.controller * 3 + self.write);
        }
        let containers = pod.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
        let longest = containers.map(|container| {
            let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
            let seconds = ASSUMED.iter().find(|(word, _)| image.contains(word)).map_or(OTHERS, |(_, seconds)| *seconds);
            let probe = |name: &str| {
                container.pointer(&format!("/readinessProbe/{name}")).and_then(Value::as_u64).unwrap_or_default()
            };
            // A probe that comes too early fails once; the next one comes a period later.
            let (delay, period) = (probe("initialDelaySeconds"), probe("periodSeconds").max(1));
            let late = seconds.saturating_sub(delay).div_ceil(period) * period;
            Duration::from_secs(if container.get("readinessProbe").is_some() { delay + late } else { seconds })
        });
        longest.max().unwrap_or_default()
    }

    /// From a change of a custom resource, or of what something else fills, to being what is waited for.
    pub fn until_operated(&self, name: &str) -> Duration {
        self.ready.get(name).or_else(|| self.measured.get(name)).copied().unwrap_or(self.operator)
    }

    /// Whether the time of a workload says itself how long the return of its data takes.
    pub fn covers_data(&self, workload: &str) -> bool {
        self.ready.contains_key(workload) || self.measured_with_data.contains(workload)
    }

    /// What is made to happen to a workload's pods.
    pub fn fate(&self, workload: &str) -> Option<Fate> {
        self.fates.get(workload).copied()
    }

    /// Whether a right is given.
    pub fn allows(&self, attributes: &Value) -> bool {
        let text = |name: &str| attributes.get(name).and_then(Value::as_str).unwrap_or_default();
        let wanted = format!("{} {}", text("verb"), text("resource"));
        !self.denied.iter().any(|denied| *denied == wanted || (wanted == "* *" && !denied.is_empty()))
    }
}
