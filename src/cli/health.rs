//! `rekindle health`.

use clap::Args;

use super::settings::Context;
use super::{CliError, Exit};

/// Arguments of `health`.
#[derive(Args, Debug)]
pub struct HealthArgs {}

/// Runs the command.
pub fn run(context: &mut Context, args: &HealthArgs) -> Result<Exit, CliError> {
    let _ = (context, args);
    Err(CliError::new(Exit::Bug, "not built yet"))
}
