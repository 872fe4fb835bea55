//! What a run looks like at a moment: a model fed by events, from which every view for people renders.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::data::ClaimDecision;
use crate::health::diagnosis::Diagnosis;
use crate::manifest::Origin;
use crate::plan::down::Proof;
use crate::rebuild::event::{Action, CriticalStep, Event, EventKind, ObjectName, Outcome, PhaseSummary, Resumes};

/// What was done about a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// Its name.
    pub data_set: String,
    /// The phase with which all of it is there.
    pub phase: String,
    /// The word for it.
    pub decision: String,
    /// Up to when it was archived, when it was restored.
    pub recovery_point: Option<Timestamp>,
    /// Whether it follows another environment's archive.
    pub follows: bool,
    /// Its claims, each with the choice and the reason.
    pub claims: Vec<ClaimDecision>,
}

/// A run as far as its events have told.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Environment's name, with the instance.
    pub environment: String,
    /// Kubeconfig context.
    pub context: String,
    /// API server's address.
    pub server: String,
    /// Version of Kubernetes.
    pub kubernetes: String,
    /// Nodes, where known.
    pub nodes: Option<usize>,
    /// Phases that are not part of the run by wish.
    pub left_out: Vec<String>,
    /// The earlier run that it goes on from.
    pub resumes: Option<Resumes>,
    /// The run's id.
    pub run: String,
    /// Time of the first event.
    pub started: Option<Timestamp>,
    /// Time of the newest event.
    pub latest: Option<Timestamp>,
    /// Phases in order.
    pub phases: Vec<Phase>,
    /// Warnings in order, each once.
    pub warnings: Vec<String>,
    /// Whether the environment is taken down.
    pub down: bool,
    /// Volumes whose policy was set to `Retain`.
    pub retained: usize,
    /// The proofs for claims that were kept.
    pub proofs: Vec<Proof>,
    /// Claims that were deleted with their data: data set, claim, and its volume where that was left.
    pub deleted_data: Vec<(String, String, Option<String>)>,
    /// What left the kit and was deleted: `Kind/name`.
    pub pruned: Vec<String>,
    /// What was done about data sets.
    pub decisions: Vec<Decided>,
    /// What left the kit, or was to go, and stays: `Kind/name` and why.
    pub kept: Vec<(String, String)>,
    /// What stopped the run; usually one, more when several things failed at the same moment.
    pub failures: Vec<Failure>,
    /// Set by the last event.
    pub end: Option<End>,
}

/// State of a phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PhaseState {
    /// Not begun.
    #[default]
    Ahead,
    /// Begun and not finished.
    Running,
    /// Every object ready, every gate passed.
    Done,
    /// Something in it failed.
    Failed,
}

/// One phase.
#[derive(Clone, Debug, Default)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: PhaseState,
    /// When it began.
    pub started: Option<Timestamp>,
    /// How long it took, seconds; set when it ends.
    pub seconds: Option<f64>,
    /// Seconds from the run's start to its own.
    pub offset: Option<f64>,
    /// Objects in it.
    pub objects: usize,
    /// Objects that are ready.
    pub ready: usize,
    /// Objects written in this run.
    pub written: usize,
    /// Gates in it, without those switched off.
    pub gates: usize,
    /// Gates that passed.
    pub passed: usize,
    /// Gates that the environment switches off.
    pub skipped: usize,
    /// Objects heard of, in the order they were first heard of.
    pub items: Vec<Item>,
    /// Gates heard of, in order.
    pub checks: Vec<Check>,
    index: HashMap<ObjectName, usize>,
}

/// One object of a phase.
#[derive(Clone, Debug)]
pub struct Item {
    /// Which.
    pub object: ObjectName,
    /// What was done with it; `None` while it waits to be sent.
    pub action: Option<Action>,
    /// When it was first heard of, then when it was sent.
    pub since: Timestamp,
    /// When it became ready or failed.
    pub ended: Option<Timestamp>,
    /// Where it stands.
    pub state: ItemState,
}

/// State of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum ItemState {
    /// Sent; nothing was heard yet.
    Sent,
    /// Waited for.
    Waiting {
        /// Why.
        reason: String,
    },
    /// Ready.
    Ready {
        /// From being sent to being ready.
        seconds: f64,
    },
    /// Failed.
    Failed,
}

/// One gate of a phase.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its name.
    pub gate: String,
    /// When it was first heard of.
    pub since: Timestamp,
    /// When it passed or failed.
    pub ended: Option<Timestamp>,
    /// Where it stands.
    pub state: CheckState,
}

/// State of a gate.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckState {
    /// Asked and not passed.
    Waiting {
        /// The last answer.
        answer: String,
    },
    /// Passed.
    Passed {
        /// The answer that passed.
        answer: String,
        /// From the first question to the pass.
        seconds: f64,
    },
    /// Switched off by the environment.
    Skipped {
        /// The environment's reason.
        reason: String,
    },
    /// Did not pass in time.
    Failed,
}

/// What stopped a run.
#[derive(Clone, Debug)]
pub enum Failure {
    /// An object.
    Object {
        /// Its phase.
        phase: String,
        /// Which.
        object: ObjectName,
        /// Where in the kit it is written.
        origin: Origin,
        /// Why.
        reason: String,
        /// Logs and events.
        diagnosis: Diagnosis,
    },
    /// A gate.
    Gate {
        /// Its phase.
        phase: String,
        /// Its name.
        gate: String,
        /// Where in the kit it is written.
        origin: Origin,
        /// The last answer.
        answer: String,
    },
}

impl Failure {
    /// The phase it happened in.
    pub fn phase(&self) -> &str {
        match self {
            Self::Object { phase, .. } | Self::Gate { phase, .. } => phase,
        }
    }

    /// `Kind/name` or `gate NAME`.
    pub fn subject(&self) -> String {
        match self {
            Self::Object { object, .. } => object.key().to_string(),
            Self::Gate { gate, .. } => format!("gate {gate}"),
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct End {
    /// Its outcome.
    pub outcome: Outcome,
    /// The process's exit code.
    pub exit: u8,
    /// Wall time.
    pub seconds: f64,
    /// Objects written.
    pub written: usize,
    /// What bound the run's time.
    pub critical_path: Vec<CriticalStep>,
}

/// Something that is waited for now.
#[derive(Clone, Debug, PartialEq)]
pub struct Waited<'a> {
    /// `Kind/name` or `gate NAME`.
    pub subject: String,
    /// Why, or the gate's last answer; empty when nothing was heard yet.
    pub reason: &'a str,
    /// Since when.
    pub since: Timestamp,
}

impl Progress {
    /// Takes in an event. Events of unknown phases make the phase; no sequence of events is an error.
    pub fn apply(&mut self, event: &Event) {
        self.started.get_or_insert(event.time);
        self.latest = Some(event.time);
        let time = event.time;
        match &event.kind {
            EventKind::RunStarted {
                environment,
                context,
                server,
                kubernetes,
                nodes,
                phases,
                left_out,
                resumes,
                ..
            } => {
                self.left_out.clone_from(left_out);
                self.resumes.clone_from(resumes);
                self.environment.clone_from(environment);
                self.context.clone_from(context);
                self.server.clone_from(server);
                self.kubernetes.clone_from(kubernetes);
                self.nodes = *nodes;
                self.run.clone_from(&event.run);
                self.phases = phases.iter().map(Phase::ahead).collect();
            }
            EventKind::Decision { data_set, phase, decision, recovery_point, standby, claims, .. } => {
                self.decisions.push(Decided {
                    data_set: data_set.clone(),
                    phase: phase.clone(),
                    decision: decision.clone(),
                    recovery_point: *recovery_point,
                    follows: standby == crate::data::lineage::FOLLOWING,
                    claims: claims.clone(),
                });
            }
            EventKind::PhaseStarted { phase } => {
                let phase = self.phase(phase);
                phase.state = PhaseState::Running;
                phase.started = Some(time);
            }
            EventKind::ObjectApplied { phase, object, action } => {
                let phase = self.phase(phase);
                if *action != Action::Unchanged {
                    phase.written += 1;
                }
                phase.relapsed(object, time);
                let item = phase.item(object, time);
                item.action = Some(*action);
                item.since = time;
                item.state = ItemState::Sent;
            }
            EventKind::ObjectWaiting { phase, object, reason } => {
                let phase = self.phase(phase);
                phase.relapsed(object, time);
                phase.item(object, time).state = ItemState::Waiting { reason: reason.clone() };
            }
            EventKind::ObjectReady { phase, object, seconds, .. } => {
                let phase = self.phase(phase);
                let item = phase.item(object, time);
                if !matches!(item.state, ItemState::Ready { .. }) {
                    item.state = ItemState::Ready { seconds: *seconds };
                    item.ended = Some(time);
                    phase.ready += 1;
                }
            }
            EventKind::ObjectFailed { phase: name, object, origin, reason, diagnosis } => {
                let phase = self.phase(name);
                phase.state = PhaseState::Failed;
                let item = phase.item(object, time);
                (item.state, item.ended) = (ItemState::Failed, Some(time));
                self.failures.push(Failure::Object {
                    phase: name.clone(),
                    object: object.clone(),
                    origin: origin.clone(),
                    reason: reason.clone(),
                    diagnosis: diagnosis.clone(),
                });
            }
            EventKind::GateWaiting { phase, gate, answer } => {
                let phase = self.phase(phase);
                let state = &mut phase.check(gate, time).state;
                let before = std::mem::replace(state, CheckState::Waiting { answer: answer.clone() });
                let passed = matches!(before, CheckState::Passed { .. });
                phase.passed = phase.passed.saturating_sub(usize::from(passed));
            }
            EventKind::GatePassed { phase, gate, answer, seconds } => {
                let phase = self.phase(phase);
                let check = phase.check(gate, time);
                if !matches!(check.state, CheckState::Passed { .. }) {
                    check.state = CheckState::Passed { answer: answer.clone(), seconds: *seconds };
                    check.ended = Some(time);
                    phase.passed += 1;
                }
            }
            EventKind::GateSkipped { phase, gate, reason } => {
                self.phase(phase).check(gate, time).state = CheckState::Skipped { reason: reason.clone() };
            }
            EventKind::GateFailed { phase: name, gate, origin, answer } => {
                let phase = self.phase(name);
                phase.state = PhaseState::Failed;
                let check = phase.check(gate, time);
                (check.state, check.ended) = (CheckState::Failed, Some(time));
                self.failures.push(Failure::Gate {
                    phase: name.clone(),
                    gate: gate.clone(),
                    origin: origin.clone(),
                    answer: answer.clone(),
                });
            }
            EventKind::PhaseFinished { summary } => {
                let phase = self.phase(&summary.phase);
                phase.state = PhaseState::Done;
                phase.settle(summary);
            }
            EventKind::ObjectPruned { object, .. } => self.pruned.push(object.key().to_string()),
            EventKind::ObjectKept { object, reason, .. } => self.kept.push((object.key().to_string(), reason.clone())),
            EventKind::ObjectDeleted { phase, object, seconds } => {
                // A namespace may go after all, when the last of its data has gone.
                let name = object.key().to_string();
                self.kept.retain(|(kept, _)| *kept != name);
                if phase.is_empty() {
                    return;
                }
                let phase = self.phase(phase);
                phase.ready += 1;
                phase.written += 1;
                let item = phase.item(object, time);
                (item.state, item.ended) = (ItemState::Ready { seconds: *seconds }, Some(time));
            }
            EventKind::TakingDown { .. } => self.down = true,
            EventKind::VolumeRetained { .. } => self.retained += 1,
            EventKind::VolumeKept { proof } => self.proofs.push(proof.clone()),
            EventKind::DataDeleted { data_set, claim, volume, volume_deleted, .. } => {
                let left = (!volume_deleted && !volume.is_empty()).then(|| volume.clone());
                self.deleted_data.push((data_set.clone(), claim.clone(), left));
            }
            EventKind::Warning { message } => {
                if !self.warnings.contains(message) {
                    self.warnings.push(message.clone());
                }
            }
            EventKind::RunFinished { outcome, exit, seconds, phases, written, critical_path } => {
                for summary in phases {
                    self.phase(&summary.phase).settle(summary);
                }
                self.end = Some(End {
                    outcome: *outcome,
                    exit: *exit,
                    seconds: *seconds,
                    written: *written,
                    critical_path: critical_path.clone(),
                });
            }
        }
    }

    fn phase(&mut self, name: &str) -> &mut Phase {
        let index = self.phases.iter().position(|phase| phase.name == name).unwrap_or_else(|| {
            self.phases.push(Phase { name: name.to_owned(), ..Phase::default() });
            self.phases.len() - 1
        });
        &mut self.phases[index]
    }

    /// Seconds from the run's start to a time; 0 before the first event.
    pub fn seconds_at(&self, time: Timestamp) -> f64 {
        self.started.map_or(0.0, |started| seconds_between(started, time))
    }

    /// Sum over the phases of a count.
    pub fn total(&self, of: impl Fn(&Phase) -> usize) -> usize {
        self.phases.iter().map(of).sum()
    }

    /// Columns of the longest name of a phase.
    pub fn name_width(&self) -> usize {
        use unicode_width::UnicodeWidthStr;
        self.phases.iter().map(|phase| phase.name.width()).max().unwrap_or_default()
    }

    /// Switched-off gates of all phases, with their reasons.
    pub fn switched_off(&self) -> impl Iterator<Item = (&str, &str)> {
        self.phases.iter().flat_map(|phase| &phase.checks).filter_map(|check| match &check.state {
            CheckState::Skipped { reason } => Some((check.gate.as_str(), reason.as_str())),
            _ => None,
        })
    }
}

impl Phase {
    fn ahead(summary: &PhaseSummary) -> Self {
        let mut phase = Self { name: summary.phase.clone(), ..Self::default() };
        phase.settle(summary);
        phase
    }

    /// Takes counts and times from a summary, which knows better than the sum of events.
    fn settle(&mut self, summary: &PhaseSummary) {
        self.objects = summary.objects;
        self.ready = summary.ready;
        self.written = summary.written;
        self.gates = summary.gates;
        self.passed = summary.passed;
        self.skipped = summary.skipped;
        self.seconds = summary.seconds.or(self.seconds);
        self.offset = summary.started.or(self.offset);
    }

    fn item(&mut self, object: &ObjectName, time: Timestamp) -> &mut Item {
        let index = *self.index.entry(object.clone()).or_insert_with(|| {
            let state = ItemState::Sent;
            self.items.push(Item { object: object.clone(), action: None, since: time, ended: None, state });
            self.items.len() - 1
        });
        &mut self.items[index]
    }

    /// An object that may have been ready is waited for again.
    fn relapsed(&mut self, object: &ObjectName, time: Timestamp) {
        let was_ready = matches!(self.item(object, time).state, ItemState::Ready { .. });
        self.ready = self.ready.saturating_sub(usize::from(was_ready));
    }

    fn check(&mut self, gate: &str, time: Timestamp) -> &mut Check {
        let index = self.checks.iter().position(|check| check.gate == gate).unwrap_or_else(|| {
            let state = CheckState::Waiting { answer: String::new() };
            self.checks.push(Check { gate: gate.to_owned(), since: time, ended: None, state });
            self.checks.len() - 1
        });
        &mut self.checks[index]
    }

    /// What is waited for now: objects that were sent, longest first; gates; then objects that wait for others to be sent.
    pub fn waited(&self) -> Vec<Waited<'_>> {
        let mut waited: Vec<(u8, Waited<'_>)> = Vec::new();
        for item in &self.items {
            let reason = match &item.state {
                ItemState::Waiting { reason } => reason.as_str(),
                ItemState::Sent => "",
                ItemState::Ready { .. } | ItemState::Failed => continue,
            };
            let rank = match (item.action, reason) {
                (None, _) => 2,
                (Some(_), "") => 3,
                (Some(_), _) => 0,
            };
            waited.push((rank, Waited { subject: item.object.key().to_string(), reason, since: item.since }));
        }
        for check in &self.checks {
            if let CheckState::Waiting { answer } = &check.state {
                let subject = format!("gate {}", check.gate);
                waited.push((1, Waited { subject, reason: answer, since: check.since }));
            }
        }
        waited.sort_by_key(|(rank, waited)| (*rank, waited.since));
        waited.into_iter().map(|(_, waited)| waited).collect()
    }

    /// Seconds it has been running, or took.
    pub fn seconds_at(&self, now: Timestamp) -> Option<f64> {
        self.seconds.or_else(|| self.started.map(|started| seconds_between(started, now)))
    }

    /// Whether it was a part of the run.
    pub fn begun(&self) -> bool {
        self.started.is_some() || self.offset.is_some() || self.seconds.is_some()
    }
}

/// Seconds from one time to another; 0 when they are the other way round.
pub fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}
