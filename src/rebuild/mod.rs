//! Executes a plan: a dispatcher that owns all state and emits typed [`event`]s.
//!
//! [`run`] is the way in. It surveys what is there, then goes phase by phase: send, wait until ready, ask the gates.
//! It knows no clock but tokio's and no cluster but the client it is given.

mod data;
mod dispatcher;
pub mod down;
mod emitter;
mod ending;
pub mod event;
mod gates;
mod identity;
pub mod journal;
pub mod measured;
mod node;
mod objects;
mod path;
mod phase;
pub mod prune;
mod restoring;
mod skipped;
mod store;
mod tasks;
pub mod throwaway;

pub use dispatcher::{Options, assess, run};
pub use skipped::Part;

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod losing_tests;
#[cfg(test)]
mod reserve_tests;
