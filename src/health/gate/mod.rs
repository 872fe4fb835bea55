//! Gates: health checks that close a phase. [`Gate::parse`] reads them strictly from the kit, [`Asker::ask`] asks one
//! question, [`wait`] asks until a gate passes.

mod answer;
mod asker;
mod condition;
mod exec;
pub(crate) mod fields;
mod http;
pub(crate) mod parse;
mod postgres;
mod redis;
mod spec;
mod tcp;
mod wait;

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::manifest::Origin;

pub use answer::Answer;
pub use asker::{Asker, StandIn};
pub use fields::GateMistake;
pub use http::{is_for_host, no_rule};
pub use spec::{
    Address, Condition, Exec, Expression, Http, HttpTarget, Pattern, Port, Postgres, Probe, Redis, Selected, Statuses,
    Tcp, Wanted,
};
pub use wait::wait;

/// A gate of the kit (`apiVersion: rekindle.dev/v1`, `kind: Gate`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gate {
    /// `metadata.name`, free text such as `app database accepts writes`.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// Limit from the moment the phase's objects are ready (default 5 m). In JSON: seconds.
    #[serde(serialize_with = "seconds")]
    pub timeout: Duration,
    /// How long it must stay true (default 0). In JSON: seconds.
    #[serde(serialize_with = "seconds")]
    pub hold: Duration,
    /// Namespace in which its Services, pods and Secrets are looked up: the environment's unless `metadata.namespace` says otherwise.
    pub namespace: String,
    /// The question.
    pub probe: Probe,
    /// Set when the environment switches the gate off: its reason.
    pub skipped: Option<String>,
}

impl Gate {
    /// The same question, wanting a certain answer: only a query can.
    #[must_use]
    pub fn wanting(&self, wanted: Wanted) -> Self {
        let mut gate = self.clone();
        if let Probe::Postgres(postgres) = &mut gate.probe {
            postgres.wanted = Some(wanted);
        }
        gate
    }
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

#[cfg(test)]
mod probe_tests;
