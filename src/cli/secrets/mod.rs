//! `rekindle secrets`: keygen, show, set, edit.

mod edit;
mod file;
mod keygen;
mod set;
mod show;

use clap::Subcommand;

use super::command_line::command_line;
use super::identities::{explain, identities};
use super::settings::Context;
use super::{CliError, Exit};
use crate::kit::Kit;
use crate::manifest::mistake::nearest;
use crate::secrets::{self, Vault};

/// Subcommands of `secrets`.
#[derive(Subcommand, Debug)]
pub enum SecretsCommand {
    /// Make an identity: a private key that opens secrets, and its public recipient
    Keygen(keygen::KeygenArgs),
    /// List an environment's secrets without their values, or print the value of one
    Show(show::ShowArgs),
    /// Set one secret, from a prompt, standard input or a file
    Set(set::SetArgs),
    /// Edit all secrets of an environment in $EDITOR
    Edit(edit::EditArgs),
}

/// Runs the command.
pub fn run(context: &mut Context, command: &SecretsCommand) -> Result<Exit, CliError> {
    match command {
        SecretsCommand::Keygen(args) => keygen::run(context, args),
        SecretsCommand::Show(args) => show::run(context, args),
        SecretsCommand::Set(args) => set::run(context, args),
        SecretsCommand::Edit(args) => edit::run(context, args),
    }
}

/// The secrets of an environment of the kit, which need not be sound otherwise: secrets must be reachable while the rest
/// is being mended.
fn vault(context: &mut Context, kit: &Kit, environment: &str) -> Result<Vault, CliError> {
    let names = || kit.files.keys().filter_map(|path| path.strip_prefix("environments/")?.strip_suffix(".yaml"));
    if !names().any(|name| name == environment) {
        let error = CliError::new(Exit::Usage, format!("there is no environment {environment}"));
        return Err(match nearest(environment, names()) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error.hint(format!("see which there are:  {}", command_line(&context.common, &["env", "list"]))),
        });
    }
    let identities = identities(context)?;
    let redactor = context.ui.redactor_mut().clone();
    let instance = context.common.instance.as_deref();
    secrets::open_named(kit, environment, instance, identities, &redactor)
        .map_err(|error| explain(&context.common, error))
}

/// Says which required secrets have no value yet.
fn say_missing(context: &mut Context, vault: &Vault, contents: &secrets::Contents) {
    let missing = contents.missing(vault.schema());
    if !missing.is_empty() {
        context.ui.say(&format!("still missing: {}", missing.join(", ")));
    }
}

/// Contents for an age file that is not there yet.
fn fresh(vault: &Vault, environment: &str) -> Result<secrets::Contents, CliError> {
    secrets::Contents::fresh(vault.schema(), environment)
        .map_err(|error| CliError::new(Exit::Bug, format!("the system has no randomness for a seed: {error}")))
}

/// An error about a name that the schema does not know.
fn unknown(vault: &Vault, name: &str) -> CliError {
    let error = CliError::new(Exit::Usage, format!("no secret is named {name} in secrets/schema.yaml"));
    match vault.schema().nearest(name) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error,
    }
}
