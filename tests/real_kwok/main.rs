//! Promises proven against a real control plane whose nodes and pods are simulated. Started by `cargo xtask test`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../real/support.rs"]
mod support;

mod bed;

const BED: &str = "REKINDLE_TEST_KWOK";
