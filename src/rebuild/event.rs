//! What happens in a run, as data. Every consumer (terminal, plain lines, JSON, reports) sees only these.
//!
//! The JSON form is a public format, version 1: within a version, fields are only added. Durations are seconds, times RFC 3339.

use serde::{Deserialize, Serialize};

use crate::data::{ClaimDecision, Source};
use crate::health::diagnosis::Diagnosis;
use crate::manifest::{ObjectKey, Origin};
use crate::plan::down::Proof;

/// The format's version.
pub const VERSION: u32 = 1;

/// One event of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// [`VERSION`].
    pub version: u32,
    /// When, UTC, with milliseconds.
    pub time: jiff::Timestamp,
    /// The run's id, 8 hexadecimal digits.
    pub run: String,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// How an object is named in events.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectName {
    /// E.g. `apps/v1`.
    pub api_version: String,
    /// E.g. `StatefulSet`.
    pub kind: String,
    /// Absent for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
}

impl ObjectName {
    /// The name of an object.
    pub fn of(object: &crate::manifest::Object) -> Self {
        Self {
            api_version: object.api_version().to_owned(),
            kind: object.kind().to_owned(),
            namespace: object.namespace().map(str::to_owned),
            name: object.name().to_owned(),
        }
    }

    /// Its identity.
    pub fn key(&self) -> ObjectKey {
        ObjectKey {
            group: self.api_version.split_once('/').map_or(String::new(), |(group, _)| group.to_owned()),
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

/// What was done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It did not exist.
    Created,
    /// It existed and differed.
    Changed,
    /// It was already as the kit says; nothing was written.
    Unchanged,
    /// It was deleted and created again (a Job whose template changed).
    Replaced,
    /// It was deleted without what it owns and created again: its pods run on (a StatefulSet).
    Recreated,
    /// It existed, was somebody else's, and is ours now.
    Adopted,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything is healthy.
    Done,
    /// The cluster refused an object.
    Refused,
    /// Something that is somebody else's was protected.
    Protected,
    /// Something did not become healthy in time, or failed for good.
    Unhealthy,
    /// The cluster does not let us do what is needed.
    NotAllowed,
    /// The cluster could not be reached any more.
    Unreachable,
    /// Ended by Ctrl-C or a termination signal.
    Interrupted,
    /// Something that was deleted does not go away.
    Stuck,
    /// What was to be kept is not proven to be safe.
    Unproven,
    /// The lock was lost to another run, or could not be renewed.
    LockLost,
    /// Another cluster answers than at the start.
    WrongCluster,
}

/// How a run ended that did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Its journal breaks off: the process was killed, or its machine went down.
    Killed,
    /// It said that it failed.
    Failed,
    /// Ctrl-C or a termination signal.
    Interrupted,
    /// It lost the lock.
    LockLost,
}

/// The earlier run that a run goes on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumes {
    /// Its id.
    pub run: String,
    /// How it ended.
    pub ended: Ended,
    /// The phase that it was in.
    pub phase: String,
    /// When it was last heard of.
    pub time: jiff::Timestamp,
    /// Objects that it had written.
    pub written: usize,
}

/// Progress of one phase, as numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseSummary {
    /// Its name.
    pub phase: String,
    /// Start to end, seconds; absent when it never began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Seconds from the run's start to the phase's start; absent when it never began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<f64>,
    /// Objects in it.
    pub objects: usize,
    /// Objects that are ready.
    pub ready: usize,
    /// Objects written in this run.
    pub written: usize,
    /// Gates in it, without the skipped ones.
    pub gates: usize,
    /// Gates that passed.
    pub passed: usize,
    /// Gates that the environment switches off.
    pub skipped: usize,
}

/// The kinds of events.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// The first event.
    RunStarted {
        /// Environment's name, with the instance: `staging` or `staging/pr-123`.
        environment: String,
        /// Name of the stack.
        stack: String,
        /// Kubeconfig context in use.
        context: String,
        /// API server's address.
        server: String,
        /// E.g. `1.34.4`.
        kubernetes: String,
        /// UID of `kube-system`.
        cluster: String,
        /// Nodes, where they may be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        nodes: Option<usize>,
        /// Phases in order, with their counts.
        phases: Vec<PhaseSummary>,
        /// Phases that `--from` and `--until` leave out.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left_out: Vec<String>,
        /// The earlier run of this environment on this cluster that did not end well, where its journal is on this machine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resumes: Option<Resumes>,
    },
    /// What is done about a data set, told before the first phase.
    Decision {
        /// The data set.
        data_set: String,
        /// The phase with which all of it is there.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        phase: String,
        /// `keep`, `adopt`, `restore`, `promote`, `copy` or `empty`: the most that is done about one of its claims.
        decision: String,
        /// What templates see: where the contents came from, now or when the claims were made.
        source: Source,
        /// Its claims, each with the choice and the reason.
        claims: Vec<ClaimDecision>,
        /// Up to when what is restored now was archived: what was written later is lost.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recovery_point: Option<jiff::Timestamp>,
        /// `following` while it replays another environment's archive, `promoted` once it stopped doing so.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        standby: String,
    },
    /// A phase begins.
    PhaseStarted {
        /// Its name.
        phase: String,
    },
    /// An object was sent, or found to need nothing.
    ObjectApplied {
        /// Its phase.
        phase: String,
        /// Which.
        object: ObjectName,
        /// What was done.
        action: Action,
    },
    /// An object is waited for; sent only when the reason changes.
    ObjectWaiting {
        /// Its phase.
        phase: String,
        /// Which.
        object: ObjectName,
        /// Why, one sentence.
        reason: String,
    },
    /// An object is ready.
    ObjectReady {
        /// Its phase.
        phase: String,
        /// Which.
        object: ObjectName,
        /// From being sent to being ready.
        seconds: f64,
        /// A remark, when there is one.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// An object cannot become ready, was refused, or took too long. The run stops.
    ObjectFailed {
        /// Its phase.
        phase: String,
        /// Which.
        object: ObjectName,
        /// Where in the kit it is written.
        origin: Origin,
        /// Why, one sentence.
        reason: String,
        /// Logs and events.
        diagnosis: Diagnosis,
    },
    /// A gate was asked and did not pass; sent only when the answer changes.
    GateWaiting {
        /// Its phase.
        phase: String,
        /// Its name.
        gate: String,
        /// The last answer.
        answer: String,
    },
    /// A gate passed.
    GatePassed {
        /// Its phase.
        phase: String,
        /// Its name.
        gate: String,
        /// The answer that passed.
        answer: String,
        /// From the first question to the pass, including the hold.
        seconds: f64,
    },
    /// A gate is switched off by the environment.
    GateSkipped {
        /// Its phase.
        phase: String,
        /// Its name.
        gate: String,
        /// The reason the environment's file gives.
        reason: String,
    },
    /// A gate did not pass in time.
    GateFailed {
        /// Its phase.
        phase: String,
        /// Its name.
        gate: String,
        /// Where in the kit it is written.
        origin: Origin,
        /// The last answer, or why it can never pass.
        answer: String,
    },
    /// Every object of a phase is ready and every gate passed.
    PhaseFinished {
        /// Counts and times.
        #[serde(flatten)]
        summary: PhaseSummary,
    },
    /// The environment is taken down, not rebuilt. Comes right after the first event.
    TakingDown {
        /// Claims that may hold its data.
        claims: usize,
        /// Data sets that are deleted, as somebody typed.
        delete_data: Vec<String>,
    },
    /// An object that left the kit was deleted, and is gone.
    ObjectPruned {
        /// The phase that it belonged to.
        phase: String,
        /// Which.
        object: ObjectName,
    },
    /// An object of an environment that is taken down was deleted, and is gone.
    ObjectDeleted {
        /// Its phase.
        phase: String,
        /// Which.
        object: ObjectName,
        /// From the request to its end.
        seconds: f64,
    },
    /// An object that left the kit, or whose environment is taken down, stays.
    ObjectKept {
        /// Its phase.
        phase: String,
        /// Which.
        object: ObjectName,
        /// Why.
        reason: String,
    },
    /// A volume outlives its claim from now on: its reclaim policy was set to `Retain`, and read back.
    VolumeRetained {
        /// The volume.
        volume: String,
        /// Namespace of the claim.
        namespace: String,
        /// The claim that it is bound to.
        claim: String,
        /// The policy before.
        before: String,
    },
    /// The proof for a claim that was kept, read after everything else was gone.
    VolumeKept {
        /// Claim, volume, place, phase, policy and size.
        #[serde(flatten)]
        proof: Proof,
    },
    /// A claim was deleted with its data, as somebody typed.
    DataDeleted {
        /// The data set.
        data_set: String,
        /// Namespace of the claim.
        namespace: String,
        /// The claim.
        claim: String,
        /// Its volume; empty when it had none.
        volume: String,
        /// Whether the volume went with it. One that no provisioner made is only let go.
        volume_deleted: bool,
    },
    /// Something worth knowing that stops nothing.
    Warning {
        /// What.
        message: String,
    },
    /// The last event.
    RunFinished {
        /// How it ended.
        outcome: Outcome,
        /// The process's exit code.
        exit: u8,
        /// Wall time.
        seconds: f64,
        /// Every phase.
        phases: Vec<PhaseSummary>,
        /// Objects written in this run.
        written: usize,
        /// The chain of waits that bound the run's time, first to last: `Kind/name` or `gate NAME` with seconds.
        critical_path: Vec<CriticalStep>,
    },
}

/// A step of the critical path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CriticalStep {
    /// Its phase.
    pub phase: String,
    /// `Kind/name` or `gate NAME`.
    pub step: String,
    /// How long it took.
    pub seconds: f64,
}

/// A duration as events tell it: seconds, rounded to milliseconds.
pub fn seconds(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
