//! How long a rebuild takes by its critical path, before it is begun: from times that were measured in earlier runs where
//! there are any, and from plain assumptions where there are none. Pure.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;

use super::{Item, Plan, PlannedPhase};
use crate::manifest::Object;
use crate::rebuild::event::CriticalStep;

/// Seconds that steps took in earlier runs, by `Kind/name` or `gate NAME`.
pub type Measured = HashMap<String, f64>;

/// Longest time of a step that is not worth naming on the critical path, in seconds.
const SHORTEST: f64 = 0.5;

/// How long it would take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Wall time in seconds.
    pub seconds: f64,
    /// Of these, seconds on the critical path whose step was measured in an earlier run.
    pub measured: f64,
    /// The steps that bind the time, first to last.
    pub critical_path: Vec<CriticalStep>,
}

/// What a step takes when nobody has measured it, in seconds: pods have to be scheduled, pulled and probed, everything
/// else is an answer of the API server.
fn assumed(object: &Object) -> f64 {
    let replicas = object.body().pointer("/spec/replicas").and_then(Value::as_f64);
    match (object.group(), object.kind()) {
        ("apps", "Deployment" | "StatefulSet") if replicas == Some(0.0) => 0.1,
        // Pods of a StatefulSet come one after the other.
        ("apps", "StatefulSet") => 20.0 * replicas.unwrap_or(1.0).max(1.0),
        ("apps", "Deployment" | "DaemonSet") => 15.0,
        ("batch", "Job") => 10.0,
        ("", "Pod") => 10.0,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => 1.0,
        _ => 0.05,
    }
}

/// One step: how long, whether that was measured, and what it is called.
struct Step {
    name: String,
    seconds: f64,
    measured: bool,
}

impl Step {
    fn new(name: String, assumed: f64, measured: &Measured) -> Self {
        let known = measured.get(&name).copied();
        Self { seconds: known.unwrap_or(assumed), measured: known.is_some(), name }
    }
}

/// The estimate for a plan in which some objects have to be written, and the others are taken to be ready.
pub fn estimate(plan: &Plan, written: impl Fn(&Item) -> bool, measured: &Measured) -> Estimate {
    let mut whole = Estimate { seconds: 0.0, measured: 0.0, critical_path: Vec::new() };
    for phase in &plan.phases {
        for step in path(phase, &written, measured) {
            whole.seconds += step.seconds;
            if step.measured {
                whole.measured += step.seconds;
            }
            if step.seconds >= SHORTEST {
                whole.critical_path.push(CriticalStep {
                    phase: phase.name.clone(),
                    step: step.name,
                    seconds: step.seconds,
                });
            }
        }
    }
    whole
}

/// The longest chain of a phase: objects behind each other by their needs, then its slowest gate.
fn path(phase: &PlannedPhase, written: &impl Fn(&Item) -> bool, measured: &Measured) -> Vec<Step> {
    let steps: Vec<Step> = phase
        .items
        .iter()
        .map(|item| {
            let step = Step::new(item.key.to_string(), assumed(&item.object), measured);
            if written(item) { step } else { Step { seconds: 0.0, measured: false, ..step } }
        })
        .collect();
    let mut ends: Vec<Option<(f64, Option<usize>)>> = vec![None; steps.len()];
    for index in 0..steps.len() {
        end_of(index, phase, &steps, &mut ends);
    }
    let end = |index: &usize| ends[*index].map_or(0.0, |(end, _)| end);
    let mut at = (0..steps.len()).max_by(|a, b| end(a).total_cmp(&end(b)));
    let mut chain = Vec::new();
    while let Some(index) = at {
        chain.push(index);
        at = ends[index].and_then(|(_, before)| before);
    }
    chain.reverse();
    let wrote = phase.items.iter().any(written);
    let gates = phase.gates.iter().filter(|gate| gate.skipped.is_none()).map(|gate| {
        let hold = if wrote { gate.hold.as_secs_f64() } else { 0.0 };
        Step::new(format!("gate {}", gate.name), 0.5 + hold, measured)
    });
    let slowest = gates.max_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let mut steps: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
    chain.into_iter().filter_map(|index| steps[index].take()).chain(slowest).collect()
}

/// When a step ends, and the step that it waited for. Needs have no circles: the plan has been checked.
fn end_of(index: usize, phase: &PlannedPhase, steps: &[Step], ends: &mut [Option<(f64, Option<usize>)>]) -> f64 {
    if let Some((end, _)) = ends[index] {
        return end;
    }
    // Depth first with a stack of its own: a chain of dependencies may be longer than the thread's stack is deep.
    let mut open = vec![index];
    while let Some(&at) = open.last() {
        let needs = &phase.items[at].needs;
        let missing = needs.iter().find(|need| ends[need.item].is_none());
        if let Some(need) = missing {
            open.push(need.item);
            continue;
        }
        let waits = needs.iter().map(|need| {
            let (end, before) = ends[need.item].unwrap_or((0.0, None));
            // Existing takes an answer of the API server, being ready takes as long as it takes.
            if need.ready { (end, Some(need.item)) } else { (end - steps[need.item].seconds, before) }
        });
        let (begin, before) = waits.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, None));
        ends[at] = Some((begin.max(0.0) + steps[at].seconds, before));
        open.pop();
    }
    ends[index].map_or(0.0, |(end, _)| end)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::kit::PhaseSettings;
    use crate::manifest::Origin;
    use crate::plan::Need;

    fn item(kind: &str, name: &str, replicas: u32, needs: &[(usize, bool)]) -> Item {
        let group = if kind == "Job" { "batch/v1" } else { "apps/v1" };
        let body =
            json!({"apiVersion": group, "kind": kind, "metadata": {"name": name}, "spec": {"replicas": replicas}});
        let object = Object::new(body, Origin::default()).unwrap();
        let needs = needs.iter().map(|(item, ready)| Need { item: *item, ready: *ready }).collect();
        Item { key: object.key(), object, desired: String::new(), needs }
    }

    fn plan(items: Vec<Item>) -> Plan {
        let settings = PhaseSettings::default();
        let phase = PlannedPhase { name: "services".into(), settings, restored_bytes: 0, items, gates: Vec::new() };
        Plan {
            environment: "a".into(),
            stack: "a".into(),
            selector: String::new(),
            phases: vec![phase],
            claims: Vec::new(),
            data_sets: Vec::new(),
            data: crate::data::Decisions::default(),
            definitions: Vec::new(),
        }
    }

    fn names(estimate: &Estimate) -> Vec<&str> {
        estimate.critical_path.iter().map(|step| step.step.as_str()).collect()
    }

    #[test]
    fn the_longest_chain_counts_and_what_stands_already_takes_no_time() {
        let items = vec![
            item("StatefulSet", "db", 2, &[]),
            item("Job", "migrate", 0, &[(0, true)]),
            item("Deployment", "web", 1, &[]),
            item("Deployment", "api", 1, &[(1, true), (2, false)]),
        ];
        let plan = plan(items);
        let all = estimate(&plan, |_| true, &Measured::new());
        assert_eq!(names(&all), ["StatefulSet/db", "Job/migrate", "Deployment/api"]);
        assert!((all.seconds - 65.0).abs() < 0.01 && all.measured == 0.0, "{all:?}");
        let some = estimate(&plan, |item| item.object.kind() == "Deployment", &Measured::new());
        assert!((some.seconds - 15.0).abs() < 0.01, "{some:?}");
    }

    #[test]
    fn what_was_measured_goes_before_what_is_assumed() {
        let plan = plan(vec![item("StatefulSet", "db", 1, &[]), item("Deployment", "api", 1, &[(0, false)])]);
        let measured = Measured::from([("Deployment/api".to_owned(), 120.0)]);
        let told = estimate(&plan, |_| true, &measured);
        assert_eq!(names(&told), ["Deployment/api"]);
        assert!((told.seconds - 120.0).abs() < 0.01 && (told.measured - 120.0).abs() < 0.01, "{told:?}");
    }

    #[test]
    fn a_chain_of_ten_thousand_takes_no_stack() {
        let items = (0..10_000).map(|at: usize| {
            let needs: Vec<_> = at.checked_sub(1).map(|before| (before, true)).into_iter().collect();
            item("Job", &format!("j{at}"), 0, &needs)
        });
        let mut items: Vec<Item> = items.collect();
        // The last is asked about first.
        for item in &mut items {
            for need in &mut item.needs {
                need.item = 9_999 - need.item;
            }
        }
        items.reverse();
        assert!((estimate(&plan(items), |_| true, &Measured::new()).seconds - 100_000.0).abs() < 1.0);
    }
}
