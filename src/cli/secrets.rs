//! `rekindle secrets`: keygen, show, set, edit.

use clap::Subcommand;

use super::settings::Context;
use super::{CliError, Exit};

/// Subcommands of `secrets`.
#[derive(Subcommand, Debug)]
pub enum SecretsCommand {}

/// Runs the command.
pub fn run(context: &mut Context, command: &SecretsCommand) -> Result<Exit, CliError> {
    let _ = context;
    match *command {}
}
