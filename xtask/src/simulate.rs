//! `cargo xtask simulate`: runs of the engine by chance, as many as wanted.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;

use crate::progress::say;

/// Arguments of `simulate`.
#[derive(Args)]
pub struct SimulateArgs {
    /// How many seeds, from 0 on
    #[arg(long, default_value_t = 1000, conflicts_with = "seed")]
    seeds: u64,
    /// Replay this one
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the seeds with an optimised build; the test that does it lives beside the simulation, in `src/rehearsal/seeds.rs`.
///
/// # Errors
/// When an invariant does not hold for one of them; what is printed names the command that replays it.
pub fn simulate(args: &SimulateArgs) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["test", "--release", "--lib", "rehearsal::seeds", "--", "--nocapture"]);
    command.env("REKINDLE_SEEDS", args.seeds.to_string());
    if let Some(seed) = args.seed {
        command.env("REKINDLE_SEED", seed.to_string());
    }
    let began = Instant::now();
    let ended = command.status()?;
    if !ended.success() {
        bail!("an invariant does not hold");
    }
    let seeds = if args.seed.is_some() { 1 } else { args.seeds };
    say(format_args!("{seeds} seeds, no violated invariant, {:.1} s with compiling", began.elapsed().as_secs_f64()));
    Ok(())
}
