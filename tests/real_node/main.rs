//! Promises that need containers: the whole stack, failures with logs, gates. Started by `cargo xtask test`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../real/hidden.rs"]
mod hidden;
#[path = "../real/support.rs"]
mod support;

mod accident;
mod archive;
mod archived;
mod bed;
mod broken;
mod down;
mod gates;
mod interrupted;
mod object_store;
mod pgbackrest;
mod rehearsal;
mod restore;
mod secrets;
mod stack;
mod standby;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

const BED: &str = "REKINDLE_TEST_NODE";

/// A second cluster with a node of its own.
const BED_B: &str = "REKINDLE_TEST_NODE_B";

/// Tests run side by side, except while one of them measures.
static MACHINE: RwLock<()> = RwLock::new(());

/// The machine with others on it.
fn shared() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// The machine for one test alone.
fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}
