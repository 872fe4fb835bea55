//! `rekindle env`: list, show, explain.

use clap::Subcommand;

use super::settings::Context;
use super::{CliError, Exit};

/// Subcommands of `env`.
#[derive(Subcommand, Debug)]
pub enum EnvCommand {}

/// Runs the command.
pub fn run(context: &mut Context, command: &EnvCommand) -> Result<Exit, CliError> {
    let _ = context;
    match *command {}
}
