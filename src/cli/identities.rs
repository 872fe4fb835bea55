//! Which identities there are, opening an environment's secrets with them, and saying how that went.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::command_line::command_line;
use super::settings::Context;
use super::{CliError, Common, Exit};
use crate::kit::{Environment, Kit};
use crate::secrets::identity::{AskPassphrase, Identities, IdentityError};
use crate::secrets::{self, SecretsError, Vault};

/// An identity file is at most this long, in bytes: anything longer is a mistaken path.
const LONGEST_FILE: u64 = 1 << 20;

/// Prepares an environment's secrets with every identity there is. The age file is opened when a template asks for the
/// first secret; every value is then taught to the redactor. Afterwards [`say_opened`] tells which identity it was, and
/// [`failure`] why it stayed closed.
///
/// # Errors
/// Exit 2 when an identity that was named cannot be used, exit 3 for mistakes in the schema or the list of recipients.
pub fn open_secrets(context: &mut Context, kit: &Kit, environment: &Environment) -> Result<Vault, CliError> {
    let identities = identities(context)?;
    let redactor = context.ui.redactor_mut().clone();
    secrets::open(kit, environment, identities, &redactor).map_err(|error| explain(&context.common, error))
}

/// Says which identity opened the secrets, if any template asked for one, and names values nobody asks for.
pub fn say_opened(context: &mut Context, vault: &Vault) {
    if let Some(Ok(opened)) = vault.outcome() {
        context.ui.say(&format!("secrets opened with {}", opened.with));
    }
    for leftover in vault.leftovers() {
        let hint = leftover.hint.as_ref().map(|hint| format!(": {hint}")).unwrap_or_default();
        context.ui.say(&format!("warning: {leftover}{hint}"));
    }
}

/// Why the secrets stayed closed, if a template asked for one and they did: to be shown instead of what rendering said
/// about each place that wanted one.
pub fn failure(context: &Context, vault: &Vault) -> Option<CliError> {
    vault.outcome()?.err().map(|error| explain(&context.common, error.clone()))
}

/// Every identity: of `--identity`, of `REKINDLE_IDENTITY`, and of the user's configuration, in this order.
///
/// # Errors
/// Exit 2 when a named file cannot be read or holds no identity. A broken file in the configuration is only warned about.
pub fn identities(context: &mut Context) -> Result<Identities, CliError> {
    let mut identities =
        Identities::new(Arc::new(Terminal { somebody: context.ui.can_ask(), answers: Mutex::default() }));
    for path in context.common.identity.clone() {
        let label = shown(context, &path);
        add_file(&mut identities, &label, &path).map_err(|error| usage(&error))?;
    }
    if let Some(variable) = context.identity_variable.clone() {
        if variable.contains("AGE-SECRET-KEY-") || variable.contains("-----BEGIN") {
            identities.add("REKINDLE_IDENTITY", variable.as_bytes()).map_err(|error| usage(&error))?;
        } else {
            for path in std::env::split_paths(&variable).filter(|path| !path.as_os_str().is_empty()) {
                let label = format!("{} (REKINDLE_IDENTITY)", shown(context, &path));
                add_file(&mut identities, &label, &path).map_err(|error| usage(&error))?;
            }
        }
    }
    if let Some(path) = context.config_dir.as_ref().map(|dir| dir.join("identity.txt"))
        && path.exists()
    {
        let label = shown(context, &path);
        if let Err(error) = add_file(&mut identities, &label, &path) {
            context.ui.say(&format!("warning: {error}"));
        }
    }
    Ok(identities)
}

/// A path as people write it: below the home directory with `~`.
pub fn shown(context: &Context, path: &Path) -> String {
    match context.home.as_ref().and_then(|home| path.strip_prefix(home).ok()) {
        Some(below) => format!("~/{}", below.display()),
        None => path.display().to_string(),
    }
}

fn add_file(identities: &mut Identities, label: &str, path: &Path) -> Result<(), IdentityError> {
    let failed = |reason: String| IdentityError { label: label.to_owned(), reason };
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)
        .and_then(|file| file.take(LONGEST_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| failed(format!("cannot be read: {}", super::plain(&error))))?;
    if bytes.len() as u64 > LONGEST_FILE {
        return Err(failed("is far too long for an identity file".into()));
    }
    identities.add(label, &bytes)
}

fn usage(error: &IdentityError) -> CliError {
    CliError::new(Exit::Usage, error.to_string()).hint(
        "an identity file holds AGE-SECRET-KEY-… or an OpenSSH ed25519 key; make one with: rekindle secrets keygen",
    )
}

/// Asks for passphrases on the terminal.
struct Terminal {
    somebody: bool,
    /// What was answered, so that nobody is asked twice for one key.
    answers: Mutex<BTreeMap<String, SecretString>>,
}

impl AskPassphrase for Terminal {
    fn ask(&self, what: &str) -> Result<SecretString, String> {
        if !self.somebody {
            return Err("there is no terminal to ask on".into());
        }
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = answers.get(what) {
            return Ok(answer.clone());
        }
        let passphrase = rpassword::prompt_password(format!("Passphrase of {what}: "))
            .map(SecretString::from)
            .map_err(|error| format!("the terminal cannot be read: {}", super::plain(&error)))?;
        match passphrase.expose_secret() {
            "" => Err("none was given".into()),
            _ => Ok(answers.entry(what.to_owned()).or_insert(passphrase).clone()),
        }
    }
}

/// An error of the library with what to do about it.
pub fn explain(common: &Common, error: SecretsError) -> CliError {
    let message = error.to_string();
    match error {
        SecretsError::Kit(mistakes) | SecretsError::Contents(mistakes) => mistakes.into(),
        SecretsError::NoFile { environment, .. } => CliError::new(Exit::Kit, message)
            .hint(format!("see what it should hold:  {}", command_line(common, &["secrets", "show", &environment])))
            .hint(format!("make it:                  {}", command_line(common, &["secrets", "edit", &environment]))),
        SecretsError::File { .. } => {
            CliError::new(Exit::Kit, message).hint("take it from the kit's history or a backup: it cannot be mended")
        }
        SecretsError::Identity(_) => CliError::new(Exit::Kit, message),
        SecretsError::NoMatchingIdentity { recipients, tried, .. } => {
            let mut error = CliError::new(Exit::Kit, message);
            let mut list = |title: &str, none: &str, lines: Vec<String>| {
                if lines.is_empty() {
                    error.details.push(none.to_owned());
                } else {
                    error.details.push(title.to_owned());
                    error.details.extend(lines.iter().map(|line| format!("  {line}")));
                }
            };
            list(
                "recipients by secrets/recipients.yaml:",
                "secrets/recipients.yaml names nobody for this environment",
                recipients,
            );
            list("tried:", "no identity was given", tried);
            error.hint("give the private half of one of them: --identity FILE, REKINDLE_IDENTITY or ~/.config/rekindle/identity.txt")
        }
    }
}
