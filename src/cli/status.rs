//! `rekindle status`.

use clap::Args;

use super::settings::Context;
use super::{CliError, Exit};

/// Arguments of `status`.
#[derive(Args, Debug)]
pub struct StatusArgs {}

/// Runs the command.
pub fn run(context: &mut Context, args: &StatusArgs) -> Result<Exit, CliError> {
    let _ = (context, args);
    Err(CliError::new(Exit::Bug, "not built yet"))
}
