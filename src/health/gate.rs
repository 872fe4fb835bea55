//! Gates: health checks that close a phase, as written in the kit.

use std::time::Duration;

use serde::Serialize;

use crate::manifest::Origin;

/// A gate of the kit (`apiVersion: rekindle.dev/v1`, `kind: Gate`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gate {
    /// `metadata.name`, free text such as `app database accepts writes`.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// Limit from the moment the phase's objects are ready (default 5 m).
    pub timeout: Duration,
    /// How long it must stay true (default 0).
    pub hold: Duration,
    /// Namespace in which its Services, pods and Secrets are looked up: the environment's unless `metadata.namespace` says otherwise.
    pub namespace: String,
    /// The question, still as data.
    pub spec: serde_json::Value,
    /// Set when the environment switches the gate off: its reason.
    pub skipped: Option<String>,
}
