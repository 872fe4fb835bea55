//! `rekindle check`.

use clap::Args;

use super::settings::Context;
use super::{CliError, Exit};

/// Arguments of `check`.
#[derive(Args, Debug)]
pub struct CheckArgs {}

/// Runs the command.
pub fn run(context: &mut Context, args: &CheckArgs) -> Result<Exit, CliError> {
    let _ = (context, args);
    Err(CliError::new(Exit::Bug, "not built yet"))
}
