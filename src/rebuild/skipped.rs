//! Phases that `--from` and `--until` leave out: those before the first are not waited for, but they must be there.

use super::emitter::Emitter;
use super::event::EventKind;
use super::store::Store;
use crate::cluster::ClusterError;
use crate::health::status::{Related, status};
use crate::plan::Plan;

/// Objects named in the warning about phases that are not healthy.
const NAMED: usize = 3;

/// The phases that a run goes through, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    first: usize,
    last: usize,
}

impl Part {
    /// The phases from one to another, both included. A name that the plan does not have leaves nothing out.
    pub fn of(plan: &Plan, from: Option<&str>, until: Option<&str>) -> Self {
        let position =
            |name: Option<&str>| name.and_then(|name| plan.phases.iter().position(|phase| phase.name == name));
        Self { first: position(from).unwrap_or(0), last: position(until).unwrap_or(usize::MAX) }
    }

    /// Whether a phase is part of the run.
    pub fn holds(&self, index: usize) -> bool {
        (self.first..=self.last).contains(&index)
    }

    /// Names of the phases that are not.
    pub fn left_out(&self, plan: &Plan) -> Vec<String> {
        let phases = plan.phases.iter().enumerate();
        phases.filter(|(index, _)| !self.holds(*index)).map(|(_, phase)| phase.name.clone()).collect()
    }
}

/// Looks at the phases before the first one of a run, as far as the first reading of the cluster tells of them. What is there
/// and not ready is a warning: to go on nevertheless is what was asked for.
///
/// # Errors
/// When an object is not there, or is being deleted: later phases would be built on nothing.
pub fn look(plan: &Plan, part: &Part, store: &Store, emitter: &Emitter) -> Result<(), ClusterError> {
    let (mut missing, mut unready, mut beginning) = (Vec::new(), Vec::new(), None);
    let classes = store.of_kind("storage.k8s.io", "StorageClass", None);
    for phase in plan.phases.iter().take(part.first) {
        for item in &phase.items {
            let live = store.get(&item.key);
            match live.filter(|live| live.pointer("/metadata/deletionTimestamp").is_none()) {
                None => {
                    beginning.get_or_insert_with(|| phase.name.clone());
                    missing.push(format!("{} of {}", item.key, phase.name));
                }
                Some(live) => {
                    let crd = plan.definition_of(&item.object);
                    let verdict = status(live, Related { storage_classes: &classes, crd, ..Related::default() });
                    if !verdict.is_ready() {
                        unready.push(format!("{} of {}: {}", item.key, phase.name, verdict.reason()));
                    }
                }
            }
        }
    }
    if let (Some(phase), Some(from)) = (beginning, plan.phases.get(part.first)) {
        return Err(ClusterError::Skipped { from: from.name.clone(), phase, missing });
    }
    if !unready.is_empty() {
        let more = unready.len().saturating_sub(NAMED);
        unready.truncate(NAMED);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let message = format!("left out, though not ready: {}{more}", unready.join("; "));
        emitter.send(EventKind::Warning { message });
    }
    Ok(())
}
