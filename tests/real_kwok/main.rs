//! Promises proven against a real control plane whose nodes and pods are simulated. Started by `cargo xtask test`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

#[path = "../real/support.rs"]
mod support;

mod bed;
mod claims;
mod cloud;
mod failures;
mod kubelet;
mod order;
mod production;
mod whole_kit;

const BED: &str = "REKINDLE_TEST_KWOK";
