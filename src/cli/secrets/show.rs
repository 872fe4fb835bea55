//! `rekindle secrets show`.

use std::io::IsTerminal;

use clap::Args;
use secrecy::ExposeSecret;
use serde_json::json;

use super::super::command_line::command_line;
use super::super::identities::{explain, say_opened};
use super::super::settings::Context;
use super::super::{CliError, Exit};
use super::{say_missing, unknown, vault};
use crate::report::text::{Line, Tone};
use crate::secrets::schema::{Declared, Kind};
use crate::secrets::{Opened, SecretSource, SecretsError};

const AFTER_HELP: &str = "\
Without NAME no value is printed. With NAME the value goes to standard output as it is; this is the
only command that prints secrets, so mind who looks on. Generated values depend on --instance.

Examples:
  rekindle secrets show production                        names, and which are set, derived or missing
  rekindle secrets show production postgresql-app         one value
  rekindle secrets show staging redis --instance pr-123   the value that this instance has

Exit codes: 0 shown, 2 wrong usage, 3 the secrets cannot be opened or have no such value";

/// Arguments of `secrets show`.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct ShowArgs {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
    /// Print the value of this secret
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// Runs the command.
pub fn run(context: &mut Context, args: &ShowArgs) -> Result<Exit, CliError> {
    let kit = context.kit()?;
    let vault = vault(context, &kit, &args.environment)?;
    if let Some(name) = &args.name {
        if !vault.schema().secrets.contains_key(name) {
            return Err(unknown(&vault, name));
        }
        vault.opened().map_err(|error| explain(&context.common, error.clone()))?;
        let value = vault.secret(name).map_err(|error| {
            let error = CliError::new(Exit::Kit, error.to_string());
            let words = ["secrets", "set", &args.environment, name];
            error.hint(format!("set it:  {}", command_line(&context.common, &words)))
        })?;
        let value = value.expose_secret();
        if context.json() {
            context.ui.reveal(&format!("{}\n", json!({"name": name, "value": value})));
        } else {
            let end = if std::io::stdout().is_terminal() && !value.ends_with('\n') { "\n" } else { "" };
            context.ui.reveal(&format!("{value}{end}"));
        }
        return Ok(Exit::Done);
    }
    let opened = match vault.opened() {
        Ok(opened) => Some(opened),
        // What is still to be done is worth a table, too.
        Err(SecretsError::NoFile { .. }) => None,
        Err(error) => return Err(explain(&context.common, error.clone())),
    };
    let secrets = &vault.schema().secrets;
    let width = secrets.keys().map(|name| name.chars().count()).max().unwrap_or_default();
    if !context.json() && !secrets.is_empty() {
        context.ui.out_lines(&[row(width, "name", "kind", (Tone::Plain, "state"), "description")]);
    }
    for (name, declared) in secrets {
        let (kind, (tone, state)) = (kind(declared), state(opened, name, declared));
        if context.json() {
            let line = json!({"name": name, "kind": kind, "state": state, "description": declared.description});
            context.ui.out(&line.to_string());
        } else {
            context.ui.out_lines(&[row(width, name, kind, (tone, state), &declared.description.replace('\n', " "))]);
        }
    }
    match opened {
        None => {
            context.ui.say(&format!("{} does not exist", vault.file()));
            let words = ["secrets", "edit", &args.environment];
            context.ui.say(&format!("make it:  {}", command_line(&context.common, &words)));
        }
        Some(opened) => {
            say_opened(context, &vault);
            say_missing(context, &vault, opened.contents());
        }
    }
    Ok(Exit::Done)
}

fn row(width: usize, name: &str, kind: &str, (tone, state): (Tone, &str), description: &str) -> Line {
    let line = Line::new().and(format!("{name:width$}  {kind:9}  "));
    line.with(tone, format!("{state:7}")).and(format!("  {description}"))
}

fn kind(declared: &Declared) -> &'static str {
    match declared.kind {
        Kind::Required => "required",
        Kind::Generated(_) => "generated",
    }
}

fn state(opened: Option<&Opened>, name: &str, declared: &Declared) -> (Tone, &'static str) {
    let set = opened.is_some_and(|opened| opened.contents().value(name).is_some());
    let seeded = opened.is_some_and(|opened| opened.contents().seed().is_some());
    match declared.kind {
        _ if set => (Tone::Good, "set"),
        Kind::Generated(_) if seeded => (Tone::Plain, "derived"),
        Kind::Generated(_) => (Tone::Bad, "no seed"),
        Kind::Required => (Tone::Bad, "missing"),
    }
}
