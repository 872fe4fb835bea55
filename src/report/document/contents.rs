//! What a report contains, whatever its form.

use jiff::Timestamp;
use serde::Serialize;

use crate::plan::down::Proof;
use crate::rebuild::event::{Action, Outcome};
use crate::rehearsal::needs::Needs;
use crate::report::duration::human;
use crate::report::ending::{self, ending};
use crate::report::progress::{CheckState, Decided, Failure, Item, ItemState, Phase, PhaseState, Progress};
use crate::report::rehearsal;

/// The version of the report's JSON form; within a version fields are only added.
const VERSION: u32 = 1;
/// A width at which no headline is cut.
const UNCUT: usize = 10_000;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A rebuild in a simulated cluster.
    Rehearsal,
    /// A rebuild.
    Rebuild,
    /// An environment was taken down.
    Down,
}

/// What a report needs to know beside the events.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The command that was given, as it can be pasted.
    pub command: String,
    /// Who gave it: `user@host`; empty where that is of no interest.
    pub by: String,
    /// What the last screen needs to know.
    pub ending: ending::Setting,
    /// Of a rehearsal: where its times come from, and what would be needed.
    pub rehearsal: Option<rehearsal::Setting>,
}

/// The contents of a report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of the form.
    pub version: u32,
    /// What was done.
    pub kind: Kind,
    /// Environment, with the instance.
    pub environment: String,
    /// The run's id.
    pub run: String,
    /// The command.
    pub command: String,
    /// Who gave it; empty where that is of no interest.
    pub by: String,
    /// When it began.
    pub started: Option<Timestamp>,
    /// The kubeconfig context.
    pub context: String,
    /// The API server.
    pub server: String,
    /// Version of Kubernetes.
    pub kubernetes: String,
    /// Nodes, where known.
    pub nodes: Option<usize>,
    /// Whether it ended well.
    pub good: bool,
    /// The verdict in one sentence.
    pub headline: String,
    /// How it ended; absent where the events stop without an end.
    pub outcome: Option<Outcome>,
    /// The exit code.
    pub exit: Option<u8>,
    /// Wall time; of a rehearsal, simulated time.
    pub seconds: f64,
    /// Objects written.
    pub written: usize,
    /// Phases in order.
    pub phases: Vec<PhaseReport>,
    /// The chain of waits that bound the time.
    pub critical_path: Vec<Critical>,
    /// What was decided about data.
    pub decisions: Vec<Decided>,
    /// What stopped it.
    pub failures: Vec<FailureReport>,
    /// What was still waited for.
    pub waiting: Vec<Note>,
    /// Gates that the environment switches off, with its reasons.
    pub switched_off: Vec<Note>,
    /// Warnings.
    pub warnings: Vec<String>,
    /// What left the kit and was deleted.
    pub pruned: Vec<String>,
    /// What was to go, and stays, with the reasons.
    pub kept: Vec<Note>,
    /// The proofs for claims that were kept.
    pub proofs: Vec<Proof>,
    /// Data that was deleted, as somebody typed.
    pub deleted_data: Vec<Note>,
    /// Where a rehearsal's times come from, and what a rebuild would need.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Basis>,
    /// Addresses at which the stack answers.
    pub hosts: Vec<String>,
    /// The command that goes on; empty when there is nothing to go on with.
    pub again: String,
    /// The command that only looks.
    pub look: String,
}

/// Where a rehearsal's times come from, and what a rebuild would need.
#[derive(Clone, Debug, Serialize)]
pub struct Basis {
    /// Real seconds that the simulation took.
    pub simulated_in: f64,
    /// Steps whose time was measured in a real run.
    pub measured: Vec<String>,
    /// Steps whose time was given on the command line.
    pub supposed: Vec<String>,
    /// What is assumed of everything else.
    pub assumed: Vec<String>,
    /// What a rebuild would need, counted.
    pub needs: Needs,
    /// The same in words.
    pub needed: String,
    /// Volumes that are filled, each with its time.
    pub filled: Vec<String>,
    /// The last rehearsal before this one, and whether the kit has changed since.
    pub before: Option<String>,
}

/// A phase.
#[derive(Clone, Debug, Serialize)]
pub struct PhaseReport {
    /// Its name.
    pub phase: String,
    /// `done`, `failed`, `running` or `not begun`.
    pub state: &'static str,
    /// Seconds from the run's start to its own.
    pub started: Option<f64>,
    /// How long it took.
    pub seconds: f64,
    /// Objects in it.
    pub objects: usize,
    /// Objects that are ready.
    pub ready: usize,
    /// Objects written.
    pub written: usize,
    /// Gates, without those switched off.
    pub gates: usize,
    /// Gates that passed.
    pub passed: usize,
    /// Its objects and gates, in the order they were heard of.
    pub steps: Vec<Step>,
}

/// An object or a gate.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// `Kind/name` or `gate NAME`.
    pub step: String,
    /// Namespace of an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `ready`, `passed`, `failed`, `waiting` or `switched off`.
    pub state: &'static str,
    /// What was done with an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Seconds from the run's start to its own.
    pub started: f64,
    /// How long it took.
    pub seconds: f64,
    /// Why it waits, or what a gate answered.
    pub answer: String,
    /// Whether it lies on the critical path.
    pub critical: bool,
    /// Of a rehearsal: `measured`, `supposed` or `assumed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'static str>,
}

/// A step of the critical path.
#[derive(Clone, Debug, Serialize)]
pub struct Critical {
    /// Its phase.
    pub phase: String,
    /// `Kind/name` or `gate NAME`.
    pub step: String,
    /// How long it took.
    pub seconds: f64,
    /// Of a rehearsal: `measured`, `supposed` or `assumed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'static str>,
}

/// What stopped a run.
#[derive(Clone, Debug, Serialize)]
pub struct FailureReport {
    /// Its phase.
    pub phase: String,
    /// `Kind/name` or `gate NAME`.
    pub step: String,
    /// Where in the kit it is written.
    pub origin: String,
    /// Why.
    pub reason: String,
    /// The ends of containers' logs.
    pub containers: Vec<Words>,
    /// Events of the cluster: when, reason, text.
    pub events: Vec<[String; 3]>,
}

/// The last words of a container.
#[derive(Clone, Debug, Serialize)]
pub struct Words {
    /// Whose: the container, its pod and its state.
    pub of: String,
    /// The lines.
    pub lines: Vec<String>,
}

/// A name and a sentence about it.
#[derive(Clone, Debug, Serialize)]
pub struct Note {
    /// The name.
    pub name: String,
    /// The sentence.
    pub text: String,
}

impl Note {
    fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }
}

impl Report {
    /// The report of what is known of a run.
    pub fn of(progress: &Progress, about: &About) -> Self {
        let end = progress.end.as_ref();
        let latest = progress.latest.map_or(0.0, |latest| progress.seconds_at(latest));
        let seconds = end.map_or(latest, |end| end.seconds);
        let good = end.is_some_and(|end| end.outcome == Outcome::Done);
        let rehearsal = about.rehearsal.as_ref();
        let critical_path = end.map(|end| end.critical_path.as_slice()).unwrap_or_default().iter().map(|it| Critical {
            phase: it.phase.clone(),
            step: it.step.clone(),
            seconds: it.seconds,
            source: rehearsal.map(|setting| setting.source(&it.step)),
        });
        let critical_path: Vec<Critical> = critical_path.collect();
        let phases =
            progress.phases.iter().map(|phase| phase_report(progress, phase, seconds, &critical_path, rehearsal));
        let kind = match (rehearsal.is_some(), progress.down) {
            (true, _) => Kind::Rehearsal,
            (_, true) => Kind::Down,
            _ => Kind::Rebuild,
        };
        Self {
            version: VERSION,
            kind,
            environment: progress.environment.clone(),
            run: progress.run.clone(),
            command: about.command.clone(),
            by: about.by.clone(),
            started: progress.started,
            context: progress.context.clone(),
            server: progress.server.clone(),
            kubernetes: progress.kubernetes.clone(),
            nodes: progress.nodes,
            good,
            headline: headline(progress, about, good, seconds),
            outcome: end.map(|end| end.outcome),
            exit: end.map(|end| end.exit),
            seconds,
            written: end.map_or_else(|| progress.total(|phase| phase.written), |end| end.written),
            phases: phases.collect(),
            critical_path,
            decisions: progress.decisions.clone(),
            failures: progress.failures.iter().map(failure).collect(),
            waiting: if good { Vec::new() } else { waiting(progress) },
            switched_off: progress.switched_off().map(|(gate, reason)| Note::new(gate, reason)).collect(),
            warnings: progress.warnings.clone(),
            pruned: progress.pruned.clone(),
            kept: progress.kept.iter().map(|(object, reason)| Note::new(object, reason)).collect(),
            proofs: progress.proofs.clone(),
            deleted_data: progress.deleted_data.iter().map(deleted).collect(),
            rehearsal: rehearsal.map(basis),
            hosts: about.ending.hosts.clone(),
            again: if good { String::new() } else { about.ending.again.clone() },
            look: if good && rehearsal.is_some() { String::new() } else { about.ending.look.clone() },
        }
    }

    /// Objects of all phases.
    pub fn objects(&self) -> usize {
        self.phases.iter().map(|phase| phase.objects).sum()
    }

    /// Gates of all phases that passed.
    pub fn passed(&self) -> usize {
        self.phases.iter().map(|phase| phase.passed).sum()
    }

    /// Seconds of the critical path.
    pub fn bound(&self) -> f64 {
        self.critical_path.iter().map(|step| step.seconds).sum()
    }
}

fn headline(progress: &Progress, about: &About, good: bool, seconds: f64) -> String {
    if good && about.rehearsal.is_some() {
        return format!("{} can be rebuilt from nothing in {}", progress.environment, human(seconds));
    }
    let lines = ending(progress, &about.ending, UNCUT);
    let first = lines.first().map(super::super::text::Line::plain).unwrap_or_default();
    let first = first.trim_start_matches(['✓', '✗', ' ']);
    // Behind it the last screen says how long it took.
    match first.split_once("   ") {
        Some((headline, took)) if good => format!("{headline}: {took}"),
        Some((headline, _)) => headline.to_owned(),
        None => first.to_owned(),
    }
}

fn phase_report(
    progress: &Progress,
    phase: &Phase,
    total: f64,
    path: &[Critical],
    rehearsal: Option<&rehearsal::Setting>,
) -> PhaseReport {
    let started = phase.offset.or_else(|| phase.started.map(|started| progress.seconds_at(started)));
    let objects = phase.items.iter().map(|item| object_step(progress, item, total));
    let gates = phase.checks.iter().map(|check| {
        let ended = check.ended.map_or(total, |ended| progress.seconds_at(ended));
        let began = progress.seconds_at(check.since);
        let (state, seconds, answer) = match &check.state {
            CheckState::Passed { answer, seconds } => ("passed", *seconds, answer.clone()),
            CheckState::Waiting { answer } => ("waiting", total - began, answer.clone()),
            CheckState::Skipped { reason } => ("switched off", 0.0, reason.clone()),
            CheckState::Failed => ("failed", ended - began, String::new()),
        };
        let started = if state == "passed" { ended - seconds } else { began };
        step(format!("gate {}", check.gate), state, started, seconds, answer)
    });
    let mut steps: Vec<Step> = objects.chain(gates).collect();
    for step in &mut steps {
        step.critical = path.iter().any(|it| it.phase == phase.name && it.step == step.step);
        step.source = rehearsal.map(|setting| setting.source(&step.step));
    }
    PhaseReport {
        phase: phase.name.clone(),
        state: match phase.state {
            PhaseState::Done => "done",
            PhaseState::Failed => "failed",
            PhaseState::Running => "running",
            PhaseState::Ahead => "not begun",
        },
        started,
        seconds: phase.seconds.or_else(|| started.map(|started| total - started)).unwrap_or_default().max(0.0),
        objects: phase.objects,
        ready: phase.ready,
        written: phase.written,
        gates: phase.gates,
        passed: phase.passed,
        steps,
    }
}

fn object_step(progress: &Progress, item: &Item, total: f64) -> Step {
    let started = progress.seconds_at(item.since);
    let ended = item.ended.map_or(total, |ended| progress.seconds_at(ended));
    let (state, seconds, answer) = match &item.state {
        ItemState::Ready { seconds } => ("ready", *seconds, String::new()),
        ItemState::Waiting { reason } => ("waiting", ended - started, reason.clone()),
        ItemState::Sent => ("waiting", ended - started, String::new()),
        ItemState::Failed => ("failed", ended - started, String::new()),
    };
    let name = format!("{}/{}", item.object.kind, item.object.name);
    let namespace = item.object.namespace.clone();
    Step { namespace, action: item.action, ..step(name, state, started, seconds, answer) }
}

fn step(step: String, state: &'static str, started: f64, seconds: f64, answer: String) -> Step {
    let (started, seconds) = (started.max(0.0), seconds.max(0.0));
    Step { step, namespace: None, state, action: None, started, seconds, answer, critical: false, source: None }
}

fn failure(failure: &Failure) -> FailureReport {
    let (phase, step) = (failure.phase().to_owned(), failure.subject());
    match failure {
        Failure::Object { origin, reason, diagnosis, .. } => {
            let containers = diagnosis.containers.iter().map(|container| Words {
                of: format!("container {} of pod {} {}", container.container, container.pod, container.state),
                lines: container.last_words.clone(),
            });
            let events = diagnosis.events.iter().map(|event| {
                let about = if event.regarding.is_empty() { String::new() } else { format!(" ({})", event.regarding) };
                [event.time.clone(), event.reason.clone(), format!("{}{about}", event.message)]
            });
            FailureReport {
                phase,
                step,
                origin: origin.to_string(),
                reason: reason.clone(),
                containers: containers.collect(),
                events: events.collect(),
            }
        }
        Failure::Gate { origin, answer, .. } => FailureReport {
            phase,
            step,
            origin: origin.to_string(),
            reason: format!("the last answer: {answer}"),
            containers: Vec::new(),
            events: Vec::new(),
        },
    }
}

fn waiting(progress: &Progress) -> Vec<Note> {
    let running = progress.phases.iter().filter(|phase| phase.state == PhaseState::Running);
    let waited = running.flat_map(Phase::waited);
    waited.map(|it| Note::new(it.subject, if it.reason.is_empty() { "sent just now" } else { it.reason })).collect()
}

fn deleted((data_set, claim, left): &(String, String, Option<String>)) -> Note {
    let volume = left.as_ref().map(|volume| format!("; its volume {volume} was only let go")).unwrap_or_default();
    Note::new(data_set, format!("claim {claim} was deleted with its data{volume}"))
}

fn basis(setting: &rehearsal::Setting) -> Basis {
    Basis {
        simulated_in: setting.took,
        measured: setting.measured.clone(),
        supposed: setting.supposed.clone(),
        assumed: setting.assumed.iter().chain(&setting.after).cloned().collect(),
        needs: setting.needs.clone(),
        needed: rehearsal::needed(&setting.needs, setting.secrets),
        filled: rehearsal::filled(setting),
        before: setting.before.clone(),
    }
}
