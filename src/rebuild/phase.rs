//! One phase under way: the state of its objects and gates. Pure bookkeeping; requests are the dispatcher's.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::event::Outcome;
use super::node::{Limits, Node, State};
use super::path::Step;
use crate::manifest::{Object, ObjectKey};
use crate::plan::{PlannedPhase, TIMEOUT_ANNOTATION};
use crate::report::duration::human;

/// How far a gate is.
#[derive(Clone, Debug, Default)]
pub struct GateState {
    /// It passed.
    pub passed: bool,
    /// The environment switches it off.
    pub skipped: bool,
    /// The last answer.
    pub answer: String,
    /// When it was first asked.
    pub began: Option<Instant>,
    /// When it passed.
    pub ended: Option<Instant>,
}

/// Why a phase cannot go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The objects at fault with the reason, the decisive one first.
    pub objects: Vec<(usize, String)>,
    /// The gates at fault with their last answer.
    pub gates: Vec<(usize, String)>,
    /// How the run ends.
    pub outcome: Outcome,
    /// The exit code.
    pub exit: u8,
}

impl Failure {
    /// Something did not become healthy.
    pub fn unhealthy(objects: Vec<(usize, String)>, gates: Vec<(usize, String)>) -> Self {
        Self { objects, gates, outcome: Outcome::Unhealthy, exit: 7 }
    }

    /// The cluster does not take them.
    pub fn refused(objects: Vec<(usize, String)>) -> Self {
        Self { objects, gates: Vec::new(), outcome: Outcome::Refused, exit: 6 }
    }
}

/// A phase under way.
pub struct Phase<'a> {
    /// As planned.
    pub plan: &'a PlannedPhase,
    /// Its limits.
    pub limits: Limits,
    /// Its objects, in the order of the plan.
    pub nodes: Vec<Node>,
    /// Its gates, in the order of the plan.
    pub gates: Vec<GateState>,
    /// Whether the gates are being asked.
    pub asking: bool,
    /// Why it cannot go on, once it is known.
    pub failure: Option<Failure>,
    /// Which object has which identity.
    pub by_key: HashMap<ObjectKey, usize>,
    /// For each object, the objects that need it, and whether they need it ready.
    dependents: Vec<Vec<(usize, bool)>>,
    /// For each object, which needs of others it has met already: existing, ready. An object that is deleted under us and
    /// sent again must not be counted twice.
    released: Vec<[bool; 2]>,
    began: Instant,
    changed: Instant,
}

/// The limit that an object sets for itself.
fn own_limit(object: &Object) -> Option<Duration> {
    let text = object.annotation(TIMEOUT_ANNOTATION)?;
    text.parse::<jiff::SignedDuration>().ok().and_then(|limit| Duration::try_from(limit).ok())
}

impl<'a> Phase<'a> {
    /// A phase that begins now.
    pub fn begin(plan: &'a PlannedPhase) -> Self {
        let limits = Limits::of(&plan.settings).with_restore(plan.restored_bytes);
        let mut dependents = vec![Vec::new(); plan.items.len()];
        for (index, item) in plan.items.iter().enumerate() {
            for need in &item.needs {
                dependents[need.item].push((index, need.ready));
            }
        }
        Self {
            plan,
            limits,
            nodes: plan
                .items
                .iter()
                .map(|item| Node::new(item.needs.len(), own_limit(&item.object).unwrap_or(limits.object)))
                .collect(),
            gates: plan.gates.iter().map(|_| GateState::default()).collect(),
            asking: false,
            failure: None,
            by_key: plan.items.iter().enumerate().map(|(index, item)| (item.key.clone(), index)).collect(),
            dependents,
            released: vec![[false; 2]; plan.items.len()],
            began: Instant::now(),
            changed: Instant::now(),
        }
    }

    /// Something moved: the clock of the stall limit starts again.
    pub fn moved(&mut self) {
        self.changed = Instant::now();
    }

    /// Whether every object is ready.
    pub fn all_ready(&self) -> bool {
        self.nodes.iter().all(|node| node.state == State::Ready)
    }

    /// Whether every gate has passed or is switched off.
    pub fn all_passed(&self) -> bool {
        self.asking && self.gates.iter().all(|gate| gate.passed || gate.skipped)
    }

    /// Gates that have passed must do so again: what they rest on did not stay ready.
    pub fn ask_again(&mut self) {
        self.asking = false;
        for gate in &mut self.gates {
            gate.passed = false;
        }
    }

    /// Meets the needs of others for this object: those that need it to exist, or those that need it ready.
    pub fn release(&mut self, index: usize, ready: bool) {
        if std::mem::replace(&mut self.released[index][usize::from(ready)], true) {
            return;
        }
        for (dependent, needs_ready) in &self.dependents[index] {
            if *needs_ready != ready {
                continue;
            }
            let node = &mut self.nodes[*dependent];
            node.open_needs = node.open_needs.saturating_sub(1);
            if node.open_needs == 0 && node.state == State::Blocked {
                node.state = State::Queued;
                node.released_by = Some(index);
            }
        }
    }

    /// The next moment at which patience ends.
    pub fn deadline(&self) -> Instant {
        let limits = [self.began + self.limits.phase, self.changed + self.limits.stall];
        let objects = self.nodes.iter().filter_map(|node| node.deadline(&self.limits));
        objects.chain(limits).min().unwrap_or(self.began)
    }

    /// The failure that it is when the deadline has come: the objects whose own patience has ended or, when a limit of
    /// the phase has, everything that is still waited for.
    pub fn overdue(&self, now: Instant) -> Failure {
        let late = |node: &Node| node.deadline(&self.limits).is_some_and(|at| at <= now);
        let nodes = || self.nodes.iter().enumerate();
        let is_unserved = |(index, _): &(usize, String)| self.nodes[*index].state == State::Unserved;
        let objects: Vec<_> =
            nodes().filter(|(_, node)| late(node)).map(|(index, node)| (index, node.overdue(&self.limits))).collect();
        if !objects.is_empty() && !objects.iter().all(is_unserved) {
            return Failure::unhealthy(objects, Vec::new());
        }
        // A kind that nobody serves is a refusal, whatever was the end of patience.
        let unserved: Vec<_> = nodes().map(|(index, node)| (index, node.reason.clone())).filter(is_unserved).collect();
        if !unserved.is_empty() {
            return Failure::refused(unserved);
        }
        let limit = if self.began + self.limits.phase <= now {
            format!("the phase's limit of {} is reached", human(self.limits.phase.as_secs_f64()))
        } else {
            format!("nothing has changed for {}", human(self.limits.stall.as_secs_f64()))
        };
        let say = |reason: &str| if reason.is_empty() { limit.clone() } else { format!("{limit}: {reason}") };
        let objects = nodes().filter(|(_, node)| node.is_under_way()).map(|(index, node)| (index, say(&node.reason)));
        let open = |gate: &GateState| self.asking && !gate.passed && !gate.skipped;
        let gates = self.gates.iter().enumerate().filter(|(_, gate)| open(gate));
        let gates = gates.map(|(index, gate)| (index, say(&gate.answer))).collect();
        Failure::unhealthy(objects.collect(), gates)
    }

    /// What took time, for the critical path; times since the run's start, which was `elapsed` ago.
    pub fn steps(&self, elapsed: Duration) -> Vec<Step> {
        let now = Instant::now();
        let since = |at: Instant| elapsed.saturating_sub(now.saturating_duration_since(at));
        let objects = self.plan.items.iter().zip(&self.nodes).map(|(item, node)| Step {
            name: item.key.to_string(),
            began: node.sent.map_or(elapsed, since),
            ended: node.ready.map_or(Duration::ZERO, since),
            after: node.released_by,
        });
        let last_object = (0..self.nodes.len()).max_by_key(|index| self.nodes[*index].ready);
        let gates = self.plan.gates.iter().zip(&self.gates).map(|(gate, state)| Step {
            name: format!("gate {}", gate.name),
            began: state.began.map_or(elapsed, since),
            ended: state.ended.map_or(Duration::ZERO, since),
            after: last_object,
        });
        objects.chain(gates).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::kit::PhaseSettings;
    use crate::manifest::Origin;
    use crate::plan::{Item, Need};

    /// A phase in which the last object needs the first one to exist and the second one ready.
    fn planned() -> PlannedPhase {
        let item = |name: &str, needs| {
            let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
            let object = Object::new(body, Origin::default()).unwrap();
            Item { key: object.key(), object, desired: String::new(), needs }
        };
        let needs = vec![Need { item: 0, ready: false }, Need { item: 1, ready: true }];
        PlannedPhase {
            restored_bytes: 0,
            name: "services".into(),
            settings: PhaseSettings::default(),
            items: vec![item("a", Vec::new()), item("b", Vec::new()), item("c", needs)],
            gates: Vec::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_goes_when_every_need_is_met_in_its_degree() {
        let planned = planned();
        let mut phase = Phase::begin(&planned);
        phase.release(0, false);
        phase.release(1, false);
        assert_eq!(phase.nodes[2].state, State::Blocked, "b must be ready, not only there");
        phase.release(1, true);
        assert_eq!((&phase.nodes[2].state, phase.nodes[2].released_by), (&State::Queued, Some(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_need_that_is_met_twice_counts_once() {
        let planned = planned();
        let mut phase = Phase::begin(&planned);
        phase.release(0, false);
        phase.release(0, false);
        assert_eq!(phase.nodes[2].state, State::Blocked);
    }

    #[tokio::test(start_paused = true)]
    async fn a_phase_without_change_fails_with_all_that_it_waits_for() {
        let planned = planned();
        let mut phase = Phase::begin(&planned);
        for index in [0, 1] {
            phase.nodes[index].state = State::Waiting;
            phase.nodes[index].sent = Some(Instant::now());
        }
        let deadline = phase.deadline();
        assert_eq!(deadline - Instant::now(), phase.limits.stall);
        tokio::time::advance(phase.limits.stall).await;
        let failure = phase.overdue(Instant::now());
        assert_eq!(failure.objects.len(), 2);
        assert_eq!(failure.objects[0].1, "nothing has changed for 10 m");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_overdue_is_named_beside_a_kind_that_is_still_asked_for() {
        let planned = planned();
        let mut phase = Phase::begin(&planned);
        phase.nodes[0].state = State::Waiting;
        phase.nodes[0].limit = Duration::from_secs(5);
        phase.nodes[1].state = State::Unserved;
        phase.nodes[1].reason = "the cluster has no such kind".into();
        for index in [0, 1] {
            phase.nodes[index].sent = Some(Instant::now());
        }
        tokio::time::advance(Duration::from_secs(5)).await;
        let failure = phase.overdue(Instant::now());
        assert_eq!((failure.outcome, failure.objects.len(), failure.objects[0].0), (Outcome::Unhealthy, 1, 0));
        // The limit of its own, or of the phase, is a refusal.
        phase.nodes[0].state = State::Ready;
        tokio::time::advance(phase.limits.phase).await;
        let failure = phase.overdue(Instant::now());
        assert_eq!(failure, Failure::refused(vec![(1, "the cluster has no such kind".into())]));
    }
}
