//! Scripted runs: what the engine would send, with a clock that the script moves.

use jiff::{SignedDuration, Timestamp};

use crate::health::diagnosis::{ContainerReport, Diagnosis, EventReport};
use crate::manifest::Origin;
use crate::rebuild::event::{Action, CriticalStep, Event, EventKind, ObjectName, Outcome, PhaseSummary, VERSION};
use crate::report::progress::Progress;

/// Events so far, and the time of the next one.
#[derive(Clone)]
pub struct Script {
    pub events: Vec<Event>,
    seconds: f64,
    summaries: Vec<PhaseSummary>,
    written: usize,
}

pub fn time(seconds: f64) -> Timestamp {
    let start: Timestamp = "2026-03-02T15:02:11.4Z".parse().unwrap();
    start + SignedDuration::from_secs_f64(seconds)
}

pub fn object(name: &str) -> ObjectName {
    let (kind, name) = name.split_once('/').unwrap();
    let api_version = match kind {
        "Deployment" | "StatefulSet" => "apps/v1",
        "Job" => "batch/v1",
        _ => "v1",
    };
    let namespace = (kind != "Namespace").then(|| "acoustid".to_owned());
    ObjectName { api_version: api_version.into(), kind: kind.into(), namespace, name: name.into() }
}

impl Script {
    /// A run of the environment `production` with phases of so many objects and gates.
    pub fn new(phases: &[(&str, usize, usize, usize)]) -> Self {
        let summaries: Vec<_> = phases
            .iter()
            .map(|(phase, objects, gates, skipped)| PhaseSummary {
                phase: (*phase).into(),
                objects: *objects,
                gates: *gates,
                skipped: *skipped,
                ..PhaseSummary::default()
            })
            .collect();
        let mut script = Self { events: Vec::new(), seconds: 0.0, summaries, written: 0 };
        script.push(EventKind::RunStarted {
            environment: "production".into(),
            stack: "acoustid".into(),
            context: "acoustid-production".into(),
            server: "https://10.0.0.1:6443".into(),
            kubernetes: "1.34.4".into(),
            cluster: "1f0c6e1a-0000-4000-8000-000000000000".into(),
            nodes: Some(4),
            phases: script.summaries.clone(),
            left_out: Vec::new(),
            resumes: None,
        });
        script
    }

    fn push(&mut self, kind: EventKind) -> &mut Self {
        let event = Event { version: VERSION, time: time(self.seconds), run: "7f3a1c02".into(), kind };
        self.events.push(event);
        self
    }

    fn summary(&mut self, phase: &str) -> &mut PhaseSummary {
        self.summaries.iter_mut().find(|summary| summary.phase == phase).unwrap()
    }

    pub fn at(&mut self, seconds: f64) -> &mut Self {
        self.seconds = seconds;
        self
    }

    pub fn begin(&mut self, phase: &str) -> &mut Self {
        let seconds = self.seconds;
        self.summary(phase).started = Some(seconds);
        self.push(EventKind::PhaseStarted { phase: phase.into() })
    }

    pub fn applied(&mut self, phase: &str, name: &str, action: Action) -> &mut Self {
        if action != Action::Unchanged {
            self.written += 1;
            self.summary(phase).written += 1;
        }
        self.push(EventKind::ObjectApplied { phase: phase.into(), object: object(name), action })
    }

    pub fn waiting(&mut self, phase: &str, name: &str, reason: &str) -> &mut Self {
        self.push(EventKind::ObjectWaiting { phase: phase.into(), object: object(name), reason: reason.into() })
    }

    pub fn ready(&mut self, phase: &str, name: &str, seconds: f64) -> &mut Self {
        self.summary(phase).ready += 1;
        self.push(EventKind::ObjectReady { phase: phase.into(), object: object(name), seconds, reason: String::new() })
    }

    /// So many objects that are created and ready at once.
    pub fn trivial(&mut self, phase: &str, kind: &str, number: usize, action: Action) -> &mut Self {
        for index in 0..number {
            let name = format!("{kind}/{}-{index}", kind.to_lowercase());
            self.applied(phase, &name, action).ready(phase, &name, 0.02);
        }
        self
    }

    pub fn failed(&mut self, phase: &str, name: &str, reason: &str, diagnosis: Diagnosis) -> &mut Self {
        let origin = Origin { file: format!("templates/{phase}/{}.yaml.tera", object(name).name), line: 1 };
        let kind = EventKind::ObjectFailed {
            phase: phase.into(),
            object: object(name),
            origin,
            reason: reason.into(),
            diagnosis,
        };
        self.push(kind)
    }

    pub fn asked(&mut self, phase: &str, gate: &str, answer: &str) -> &mut Self {
        self.push(EventKind::GateWaiting { phase: phase.into(), gate: gate.into(), answer: answer.into() })
    }

    pub fn passed(&mut self, phase: &str, gate: &str, answer: &str, seconds: f64) -> &mut Self {
        self.summary(phase).passed += 1;
        self.push(EventKind::GatePassed { phase: phase.into(), gate: gate.into(), answer: answer.into(), seconds })
    }

    pub fn skipped(&mut self, phase: &str, gate: &str, reason: &str) -> &mut Self {
        self.push(EventKind::GateSkipped { phase: phase.into(), gate: gate.into(), reason: reason.into() })
    }

    pub fn not_passed(&mut self, phase: &str, gate: &str, answer: &str) -> &mut Self {
        let origin = Origin { file: format!("templates/{phase}/gates.yaml.tera"), line: 14 };
        self.push(EventKind::GateFailed { phase: phase.into(), gate: gate.into(), origin, answer: answer.into() })
    }

    pub fn finish(&mut self, phase: &str) -> &mut Self {
        let seconds = self.seconds;
        let summary = self.summary(phase);
        summary.seconds = summary.started.map(|started| seconds - started);
        let summary = summary.clone();
        self.push(EventKind::PhaseFinished { summary })
    }

    pub fn warning(&mut self, message: &str) -> &mut Self {
        self.push(EventKind::Warning { message: message.into() })
    }

    pub fn end(&mut self, outcome: Outcome, exit: u8, critical: &[(&str, &str, f64)]) -> &mut Self {
        let (seconds, written) = (self.seconds, self.written);
        for summary in &mut self.summaries {
            if let (Some(started), None) = (summary.started, summary.seconds) {
                summary.seconds = Some(seconds - started);
            }
        }
        let critical_path = critical
            .iter()
            .map(|(phase, step, seconds)| CriticalStep {
                phase: (*phase).into(),
                step: (*step).into(),
                seconds: *seconds,
            })
            .collect();
        let phases = self.summaries.clone();
        self.push(EventKind::RunFinished { outcome, exit, seconds, phases, written, critical_path })
    }

    pub fn progress(&self) -> Progress {
        let mut progress = Progress::default();
        self.events.iter().for_each(|event| progress.apply(event));
        progress
    }
}

const PHASES: [(&str, usize, usize, usize); 4] =
    [("storage", 4, 0, 0), ("database", 6, 2, 0), ("services", 8, 2, 1), ("ingress", 3, 1, 0)];

fn up_to_services() -> Script {
    let mut script = Script::new(&PHASES);
    script.at(0.1).begin("storage").trivial("storage", "PersistentVolumeClaim", 3, Action::Created);
    script.applied("storage", "Namespace/acoustid", Action::Created).ready("storage", "Namespace/acoustid", 0.1);
    script.at(0.9).finish("storage").begin("database");
    script.trivial("database", "ConfigMap", 4, Action::Created);
    script.applied("database", "StatefulSet/redis", Action::Created);
    script.applied("database", "StatefulSet/postgresql-fingerprint", Action::Created);
    script.at(1.2).waiting("database", "StatefulSet/redis", "0 of 1 pods ready");
    script.waiting("database", "StatefulSet/postgresql-fingerprint", "0 of 3 pods ready");
    script.at(12.3).ready("database", "StatefulSet/redis", 11.2);
    script
}

/// A whole first run.
pub fn success() -> Script {
    let mut script = up_to_services();
    script.at(80.0).waiting("database", "StatefulSet/postgresql-fingerprint", "2 of 3 pods ready");
    script.at(200.9).ready("database", "StatefulSet/postgresql-fingerprint", 200.0);
    script.asked("database", "fingerprint accepts writes", "in recovery");
    script.at(202.0).passed("database", "redis answers", "PONG", 0.3);
    script.at(210.0).passed("database", "fingerprint accepts writes", "t", 9.1).finish("database");
    script.begin("services").skipped("services", "import is idle", "nothing is imported in a rehearsal");
    script.trivial("services", "Service", 4, Action::Created).trivial("services", "Secret", 2, Action::Unchanged);
    script.applied("services", "Job/migrations", Action::Replaced).at(222.0).ready("services", "Job/migrations", 12.0);
    script.applied("services", "Deployment/api", Action::Changed).at(236.0).ready("services", "Deployment/api", 14.0);
    script.passed("services", "api answers", "200 in 12 ms", 0.4).passed("services", "web answers", "200", 0.1);
    script.warning("Deployment/api: spec.template.spec.containers[0].image has no digest").finish("services");
    script.begin("ingress").trivial("ingress", "Ingress", 3, Action::Created).at(252.0);
    script.passed("ingress", "site answers", "200", 2.0).finish("ingress");
    script.end(
        Outcome::Done,
        0,
        &[("database", "StatefulSet/postgresql-fingerprint", 200.0), ("services", "Deployment/api", 14.0)],
    );
    script
}

/// A run that finds everything as it should be.
pub fn unchanged() -> Script {
    let mut script = Script::new(&[("storage", 4, 0, 0), ("database", 6, 2, 0)]);
    script.at(0.1).begin("storage").trivial("storage", "ConfigMap", 4, Action::Unchanged).finish("storage");
    script.at(0.2).begin("database").trivial("database", "ConfigMap", 6, Action::Unchanged);
    script.at(0.4).passed("database", "redis answers", "PONG", 0.01).passed("database", "app answers", "t", 0.02);
    script.finish("database").end(Outcome::Done, 0, &[]);
    script
}

pub fn container(state: &str, last_words: &[&str]) -> ContainerReport {
    ContainerReport {
        pod: "api-6c9f7-x2kqd".into(),
        container: "api".into(),
        state: state.into(),
        last_words: last_words.iter().map(|line| (*line).into()).collect(),
    }
}

pub fn cluster_event(reason: &str, message: &str) -> EventReport {
    EventReport {
        time: "2026-03-02T15:05:01Z".into(),
        severity: "Warning".into(),
        reason: reason.into(),
        regarding: "Pod/api-6c9f7-x2kqd".into(),
        message: message.into(),
    }
}

/// A run whose third phase has begun and is waiting.
pub fn in_services() -> Script {
    let mut script = up_to_services();
    script.at(40.0).ready("database", "StatefulSet/postgresql-fingerprint", 38.8);
    script.passed("database", "redis answers", "PONG", 0.3).passed("database", "fingerprint accepts writes", "t", 0.1);
    script.finish("database").begin("services").trivial("services", "Service", 4, Action::Created);
    script.applied("services", "Deployment/api", Action::Created);
    script
}

/// It ends with a crash loop.
pub fn crash() -> Script {
    let mut script = in_services();
    script.at(42.0).waiting("services", "Deployment/api", "0 of 4 pods ready");
    let reason = "0 of 4 pods ready for 1 m 10 s: container api of pod api-6c9f7-x2kqd exits with code 1, 3 restarts";
    let words = [
        "Traceback (most recent call last):",
        "psycopg2.OperationalError: FATAL: password authentication failed for user \"acoustid\"",
    ];
    let diagnosis = Diagnosis {
        containers: vec![container("exits with code 1, 3 restarts", &words)],
        events: vec![cluster_event("BackOff", "restarting failed container api")],
    };
    script.at(110.0).failed("services", "Deployment/api", reason, diagnosis).end(Outcome::Unhealthy, 7, &[]);
    script
}
