//! `rekindle secrets keygen`.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::ExposeSecret;

use super::super::identities::shown;
use super::super::settings::Context;
use super::super::{CliError, Exit, plain};
use crate::secrets::identity::generate;

const AFTER_HELP: &str = "\
The recipient is printed on standard output. It is public: give it to whoever seals secrets for you.
The identity file is private: with it, all that was ever sealed to its recipient can be opened.

Examples:
  rekindle secrets keygen                     ~/.config/rekindle/identity.txt, found by itself
  rekindle secrets keygen --to recovery.txt   another one, to be kept in a safe

Exit codes: 0 made, 2 the file cannot be written, 4 the file is there already";

/// Arguments of `secrets keygen`.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct KeygenArgs {
    /// Write the identity to this file [default: ~/.config/rekindle/identity.txt]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// Runs the command.
pub fn run(context: &mut Context, args: &KeygenArgs) -> Result<Exit, CliError> {
    let default = context.config_dir.as_ref().map(|dir| dir.join("identity.txt"));
    let Some(path) = args.to.clone().or_else(|| default.clone()) else {
        return Err(CliError::new(Exit::Usage, "there is no home directory to write the identity to")
            .hint("name a file:  --to FILE"));
    };
    let (text, recipient) = generate();
    context.ui.redactor_mut().add(text.expose_secret());
    if args.to.is_none()
        && let Some(folder) = path.parent()
    {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| unwritten(context, &path, &error))?;
    }
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text.expose_secret().as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| unwritten(context, &path, &error))?;
    let name = shown(context, &path);
    if context.json() {
        let result = serde_json::json!({"recipient": recipient, "file": path.display().to_string()});
        context.ui.out(&result.to_string());
    } else {
        context.ui.out(&recipient);
    }
    context.ui.say(&format!("the identity is in {name}: keep a copy where an outage cannot reach it"));
    context.ui.say("next: name the recipient above in secrets/recipients.yaml, below each environment it shall open:");
    context.ui.say(&format!("  production: {{your-name: {recipient}}}"));
    context.ui.say("and have somebody who can open the environment seal it again:  rekindle secrets set ENV NAME");
    if default.as_ref() != Some(&path) {
        context.ui.say(&format!("this file is not found by itself:  --identity {name}"));
    }
    Ok(Exit::Done)
}

fn unwritten(context: &Context, path: &Path, error: &std::io::Error) -> CliError {
    let name = shown(context, path);
    if error.kind() == ErrorKind::AlreadyExists {
        return CliError::new(
            Exit::Protected,
            format!("{name} is there already, and an identity is never overwritten"),
        )
        .hint("write another file:  rekindle secrets keygen --to FILE");
    }
    CliError::new(Exit::Usage, format!("{name} cannot be written: {}", plain(error)))
}
