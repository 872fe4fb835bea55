//! Promises proven on a real node, with real containers. Started by `cargo xtask test`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../real/support.rs"]
mod support;

mod bed;
mod gates;

/// Names the kubeconfig of the cluster.
const BED: &str = "REKINDLE_TEST_NODE";
