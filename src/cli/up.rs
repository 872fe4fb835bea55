//! `rekindle up`.

use clap::Args;

use super::settings::Context;
use super::{CliError, Exit};

/// Arguments of `up`.
#[derive(Args, Debug)]
pub struct UpArgs {}

/// Runs the command.
pub fn run(context: &mut Context, args: &UpArgs) -> Result<Exit, CliError> {
    let _ = (context, args);
    Err(CliError::new(Exit::Bug, "not built yet"))
}
