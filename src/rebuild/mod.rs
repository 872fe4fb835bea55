//! Executes a plan: a dispatcher that owns all state and emits typed [`event`]s.

pub mod event;
