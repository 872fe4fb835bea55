//! `rekindle render`.

use clap::Args;

use super::settings::Context;
use super::{CliError, Exit};

/// Arguments of `render`.
#[derive(Args, Debug)]
pub struct RenderArgs {}

/// Runs the command.
pub fn run(context: &mut Context, args: &RenderArgs) -> Result<Exit, CliError> {
    let _ = (context, args);
    Err(CliError::new(Exit::Bug, "not built yet"))
}
