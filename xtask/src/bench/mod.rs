//! `cargo xtask bench …`: Rekindle beside other ways to do the same, in the same run on the same cluster.

mod apply;
mod kit;
mod measure;
mod rehearse;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Measure Rekindle beside other ways to do the same
#[derive(Subcommand)]
pub enum BenchCommand {
    /// Apply many objects for the first time, and again unchanged
    Apply(ApplyArgs),
    /// Rehearse a generated kit of many objects in many layers
    Rehearse(RehearseArgs),
}

/// Arguments of `bench rehearse`.
#[derive(Args)]
pub struct RehearseArgs {
    /// How many objects
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    objects: u32,
    /// In how many layers, each of which needs the one before
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
    layers: u32,
    /// How often it is measured; medians are shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
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
        BenchCommand::Rehearse(args) => rehearse::run(args),
    }
}
