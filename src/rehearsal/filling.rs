//! Filling the volumes of pods with data: fetched from a backup, or copied from the neighbour that has it. How long that takes is
//! counted from its bytes before the rebuild begins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::accident::requested;
use super::controllers::is_ready;
use super::deletion::{is_dying, uid};
use super::store::Key;
use super::world::World;
use crate::data::claims::Expected;
use crate::data::{Choice, Decisions};

/// Annotation of a pod that waits for a neighbour: how long the copy and its start will take, in milliseconds.
const WAITING: &str = "rehearsal/waiting";

/// How long it takes a member without data to see one that has it: Patroni's `loop_wait`.
pub const LOOK: Duration = Duration::from_secs(10);

/// How the volume of a claim is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filling {
    /// From where, and so how.
    pub via: Via,
    /// Bytes.
    pub bytes: u64,
    /// Bytes a second, where the time is counted from them.
    pub rate: u64,
    /// How long it takes.
    pub time: Duration,
    /// Whether that time was given, not counted from the bytes.
    pub supposed: bool,
}

/// Where the contents of a volume come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// A backup.
    Backup,
    /// A pod beside it that is ready.
    Neighbour,
}

/// Bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// From a backup, with the WAL that is replayed.
    pub restore: u64,
    /// From a neighbour.
    pub copy: u64,
}

impl Default for Rates {
    fn default() -> Self {
        Self { restore: 30_000_000, copy: 100_000_000 }
    }
}

/// What has to be filled after these decisions, by the claim's `namespace/name`. `given`: times that were supposed for the restore
/// of data sets. Where the size of a backup is not known, the volume is taken to be full.
pub fn fillings(
    decisions: &Decisions,
    claims: &[Expected],
    rates: Rates,
    given: &BTreeMap<String, Duration>,
) -> BTreeMap<String, Filling> {
    let mut fillings = BTreeMap::new();
    for set in &decisions.sets {
        for decision in &set.claims {
            let via = match decision.choice {
                Choice::Restore { .. } => Via::Backup,
                Choice::Copy => Via::Neighbour,
                Choice::Keep | Choice::Adopt { .. } | Choice::Empty => continue,
            };
            let claim = claims.iter().find(|it| it.namespace == decision.namespace && it.name == decision.name);
            let bytes = set.restored_bytes.unwrap_or_else(|| claim.map(requested).unwrap_or_default());
            let rate = if via == Via::Backup { rates.restore } else { rates.copy };
            let given = given.get(&set.data_set).filter(|_| via == Via::Backup);
            let (time, supposed) = match given {
                Some(time) => (*time, true),
                None => (Duration::from_secs(bytes.div_ceil(rate.max(1))), false),
            };
            let filling = Filling { via, bytes, rate, time, supposed };
            fillings.insert(decision.place(), filling);
        }
    }
    fillings
}

/// A volume whose filling has begun.
#[derive(Clone, Debug, PartialEq)]
pub struct Filled {
    /// The claim, as `namespace/name`.
    pub claim: String,
    /// The workload whose pod it is filled for, as `Kind/name`.
    pub workload: String,
    /// How.
    pub filling: Filling,
}

/// The volumes of a data set that are filled in the same way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FilledSet {
    /// The data set.
    pub data_set: String,
    /// The workload that waits for it, as `Kind/name`.
    pub workload: String,
    /// From where.
    pub via: Via,
    /// How many volumes.
    pub volumes: usize,
    /// Bytes of the largest.
    pub bytes: u64,
    /// Bytes a second, where the time is counted from them.
    pub rate: u64,
    /// Seconds that one takes at most.
    pub seconds: f64,
    /// Whether that time was given.
    pub supposed: bool,
}

/// What was filled, by data set and way, in the order in which it began; what others are copied from comes before them.
pub fn by_set(filled: &[Filled], claims: &[Expected]) -> Vec<FilledSet> {
    let mut all: Vec<FilledSet> = Vec::new();
    for Filled { claim, workload, filling } in filled {
        let Some(data_set) = claims.iter().find(|it| it.place() == *claim).and_then(|it| it.data_set.clone()) else {
            continue;
        };
        let seconds = filling.time.as_secs_f64();
        match all.iter_mut().find(|it| it.data_set == data_set && it.via == filling.via && it.workload == *workload) {
            Some(known) => {
                known.volumes += 1;
                (known.bytes, known.seconds) = (known.bytes.max(filling.bytes), known.seconds.max(seconds));
            }
            None => {
                // A pod that waits for what it copies counts as begun.
                let copies = all
                    .iter()
                    .position(|it| filling.via == Via::Backup && it.data_set == data_set && it.workload == *workload);
                let new = FilledSet {
                    data_set,
                    workload: workload.clone(),
                    via: filling.via,
                    volumes: 1,
                    bytes: filling.bytes,
                    rate: filling.rate,
                    seconds,
                    supposed: filling.supposed,
                };
                all.insert(copies.unwrap_or(all.len()), new);
            }
        }
    }
    all
}

/// The pods of this one's owner.
fn family(world: &World, pod: &Value) -> Vec<Arc<Value>> {
    let owner = |pod: &Value| pod.pointer("/metadata/ownerReferences/0/uid").cloned();
    let namespace = pod.pointer("/metadata/namespace").and_then(Value::as_str);
    let pods = (String::new(), "pods".to_owned());
    let of_owner = world.store.list(&pods, namespace).filter(|(_, other)| owner(other) == owner(pod));
    of_owner.map(|(_, other)| other.clone()).collect()
}

/// Whether a pod beside this one is ready, so that its data can be copied.
pub fn has_neighbour(world: &World, pod: &Value) -> bool {
    family(world, pod).iter().any(|other| is_ready(other) && !is_dying(other))
}

/// A pod waits for a neighbour to copy from; that and its start will then take so long.
pub fn wait(world: &mut World, pod: &Key, time: Duration) {
    let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    world.edit(pod, |pod| pod["metadata"]["annotations"][WAITING] = time.to_string().into());
}

/// How long the copy takes that a pod has waited for, and its start; it waits no more. `None` for one that does not wait.
pub fn end_of_wait(world: &mut World, pod: &Key) -> Option<Duration> {
    let mut time = None;
    world.edit(pod, |pod| {
        let annotations = pod.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
        time = annotations
            .and_then(|annotations| annotations.shift_remove(WAITING))
            .and_then(|time| time.as_str()?.parse().ok());
    });
    time.map(Duration::from_millis)
}

/// The pods beside this one that wait for it, with their UIDs.
pub fn waiting_beside(world: &World, pod: &Value) -> Vec<(Key, String)> {
    let waits = |pod: &Value| pod.get("metadata").and_then(|it| it.get("annotations")?.get(WAITING)).is_some();
    let text = |pod: &Value, pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let name = |pod: &Value| Key::new("", "pods", &text(pod, "/metadata/namespace"), &text(pod, "/metadata/name"));
    family(world, pod).iter().filter(|it| waits(it)).map(|it| (name(it), uid(it))).collect()
}

/// Begins to fill the volumes of a pod that has just started; the longest of what is still to be done counts. It is done once in
/// the life of a claim.
pub fn begin(world: &mut World, pod: &Value, workload: &str) -> Option<Filling> {
    let namespace = pod.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    let mut longest: Option<Filling> = None;
    for claim in super::pods::claims(pod).into_iter().map(|name| format!("{namespace}/{name}")) {
        let Some(filling) = world.model.fillings.remove(&claim) else { continue };
        world.filled.push(Filled { claim, workload: workload.to_owned(), filling });
        longest = longest.into_iter().chain([filling]).max_by_key(|it| it.time);
    }
    longest
}

#[cfg(test)]
#[path = "filling_tests.rs"]
mod tests;
