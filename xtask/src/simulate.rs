//! `cargo xtask simulate`: runs of the engine by chance, as many as wanted.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;

use crate::cargo::cargo;
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
    /// Leave these out: objects of its kit by their numbers, and troubles by their names, as a failing run names them
    #[arg(long, requires = "seed", value_name = "NUMBERS,NAMES")]
    without: Option<String>,
}

/// The command that runs so many seeds; the test that does it lives beside the simulation, in `src/rehearsal/seeds/`.
pub fn seeds(count: u64, optimised: bool) -> Command {
    let mut arguments = vec!["test", "--lib"];
    arguments.extend(optimised.then_some("--release"));
    arguments.extend(["rehearsal::seeds", "--", "--nocapture"]);
    let mut command = cargo(&arguments);
    command.env("REKINDLE_SEEDS", count.to_string());
    command
}

/// Runs the seeds with an optimised build.
///
/// # Errors
/// When an invariant does not hold for one of them; what is printed names the command that replays it.
pub fn simulate(args: &SimulateArgs) -> Result<()> {
    let mut command = seeds(args.seeds, true);
    if let Some(seed) = args.seed {
        command.env("REKINDLE_SEED", seed.to_string());
    }
    if let Some(without) = &args.without {
        command.env("REKINDLE_WITHOUT", without);
    }
    let began = Instant::now();
    if !command.status()?.success() {
        bail!("an invariant does not hold");
    }
    let seeds = if args.seed.is_some() { 1 } else { args.seeds };
    say(format_args!("{seeds} seeds, no violated invariant, {:.1} s with compiling", began.elapsed().as_secs_f64()));
    Ok(())
}
