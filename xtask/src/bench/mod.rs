//! `cargo xtask bench …`: Rekindle beside other ways to do the same, in the same run on the same cluster.

mod apply;
mod kit;
mod measure;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Measure Rekindle beside other ways to do the same
#[derive(Subcommand)]
pub enum BenchCommand {
    /// Apply many objects for the first time, and again unchanged
    Apply(ApplyArgs),
}

/// Arguments of `bench apply`.
#[derive(Args)]
pub struct ApplyArgs {
    /// How many objects: a quarter each ConfigMaps, ServiceAccounts, Services, Deployments without replicas
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(4..=20_000))]
    objects: u32,
    /// How often everything is measured, in turning order; the table shows medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// How many connections the raw bound uses
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=64))]
    connections: u32,
}

/// Runs the bench.
///
/// # Errors
/// When a cluster cannot be made or a measurement fails.
pub fn run(command: &BenchCommand) -> Result<()> {
    match command {
        BenchCommand::Apply(args) => apply::run(args),
    }
}
