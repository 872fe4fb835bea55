//! The simulated control plane: an API server, controllers, nodes and a cloud that exist in this process only, in virtual time,
//! spoken to by the ordinary client library. `rekindle rehearse` runs a rebuild against it.
//!
//! | part | idea |
//! |---|---|
//! | [`fields`], [`typed`], [`managers`] | server-side apply, after sigs.k8s.io/structured-merge-diff |
//! | [`store`], [`world`] | what is there, what time it is, what will happen |
//! | [`api`] with [`request`], [`patch`], [`defaults`], [`validate`], [`deletion`], [`discovery`], [`status`] | the API server |
//! | [`controllers`], [`pods`] with `sources`, [`model`] | everything that acts by itself, and how long it takes |
//! | [`service`], [`server`], [`faults`] | the way between a client and it: in this process, or over a socket |
//! | [`tables`] | objects as `kubectl get` shows them |
//! | [`answers`] | what gates are told |
//! | [`record`] | what is kept of a rehearsal |
//! | [`accident`] with [`survivors`], [`archives`], [`filling`] | what is left of data before, and how it comes back |
//!
//! How far it is like the real one is held by `tests/real_control_plane/simulated.rs`; what is known to differ stands in
//! `differences.txt` beside it.

pub mod accident;
pub mod answers;
pub mod api;
pub mod archives;
pub mod controllers;
pub mod defaults;
pub mod deletion;
pub mod discovery;
pub mod faults;
pub mod fields;
pub mod filling;
mod fulfil;
mod keeping;
pub mod managers;
pub mod model;
pub mod needs;
pub mod nodes;
pub mod others;
pub mod patch;
pub mod pods;
pub mod record;
pub mod request;
pub mod scheduling;
pub mod server;
pub mod service;
mod sources;
pub mod status;
pub mod store;
pub mod survivors;
pub mod tables;
pub mod typed;
pub mod validate;
pub mod world;

pub use faults::Faults;
pub use model::{Fate, Model};
pub use service::Simulation;
pub use world::World;

use std::sync::Arc;

use crate::cluster::{Cluster, ClusterError};
use crate::health::gate::StandIn;

/// What a simulated cluster calls itself.
pub const CONTEXT: &str = "simulation";

/// What stands for the address of its API server.
pub const SERVER: &str = "simulated";

impl Simulation {
    /// A connection to it, as a run wants it.
    ///
    /// # Errors
    /// When it does not answer, as it may with faults.
    pub async fn connect(&self) -> Result<Cluster, ClusterError> {
        Cluster::with_client(self.client(), CONTEXT.into(), SERVER.into()).await
    }

    /// What gates are told.
    pub fn answers(&self) -> Arc<dyn StandIn> {
        Arc::new(answers::Answers(self.clone()))
    }
}

#[cfg(test)]
mod sample;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod sources_tests;
#[cfg(test)]
mod tests;
