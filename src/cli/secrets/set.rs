//! `rekindle secrets set`.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::super::identities::explain;
use super::super::settings::Context;
use super::super::{CliError, Exit, plain};
use super::file::Target;
use super::{say_missing, unknown, vault};
use crate::secrets::schema::{Kind, SEED};

const AFTER_HELP: &str = "\
The value is never an argument: others could see it in the list of processes, and the shell would
remember it. In a terminal it is asked for without being shown. From standard input one line end at
its end is left out; a file is taken as it is.

The age file is made when it is not there, with a fresh seed for generated values, and is sealed to
those whom secrets/recipients.yaml names for the environment: so this is also how to seal it again
after changing that list.

Examples:
  rekindle --kit . secrets set production sentry-dsn
  pass show s3 | rekindle --kit . secrets set production backups-s3-secret-access-key
  rekindle --kit . secrets set production tls-private-key --from-file key.pem

Exit codes: 0 written, 2 wrong usage, 3 the secrets cannot be opened or written,
  4 somebody else changed the file";

/// The most that is read, in bytes: far more than a secret may have.
const LONGEST: u64 = 1 << 20;

/// Arguments of `secrets set`.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct SetArgs {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
    /// The secret, as secrets/schema.yaml names it
    #[arg(value_name = "NAME")]
    name: String,
    /// Take the value from this file
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// Caught here, because the complaint about an argument too many would print it.
    #[arg(hide = true, allow_hyphen_values = true)]
    value: Vec<String>,
}

/// Runs the command.
pub fn run(context: &mut Context, args: &SetArgs) -> Result<Exit, CliError> {
    let (environment, name) = (&args.environment, &args.name);
    if !args.value.is_empty() {
        return Err(CliError::new(Exit::Usage, "the value must not be an argument: others can see it there")
            .hint("give it at the prompt, on standard input or with --from-file FILE")
            .hint("this one may have been seen already: the shell remembers it, too"));
    }
    let kit = context.kit()?;
    let vault = vault(context, &kit, environment)?;
    let Some(declared) = vault.schema().secrets.get(name) else {
        if name == SEED {
            let edit = context.command(&["secrets", "edit", environment]);
            return Err(CliError::new(Exit::Usage, "the seed is made with the file")
                .hint(format!("to change it, and with it every generated value:  {edit}")));
        }
        return Err(unknown(&vault, name));
    };
    let generated = matches!(declared.kind, Kind::Generated(_));
    let target = Target::of(&kit, &vault, environment)?;
    let fresh;
    let contents = if vault.exists() {
        vault.opened().map_err(|error| explain(&context.common, error.clone()))?.contents()
    } else {
        fresh = super::fresh(&vault, environment)?;
        &fresh
    };
    let value = value(context, args)?;
    context.ui.redactor_mut().add(value.expose_secret());
    let new = contents
        .with(name, &value, vault.file())
        .map_err(|why| CliError::new(Exit::Usage, format!("the value of {name} {why}")))?;
    target.write(context, &vault, &new, &format!("{name} set"))?;
    if generated {
        context.ui.say(&format!("{name} would be derived; from now on every instance has the value set here"));
    }
    say_missing(context, &vault, &new);
    Ok(Exit::Done)
}

fn value(context: &Context, args: &SetArgs) -> Result<SecretString, CliError> {
    if let Some(path) = &args.from_file {
        return text(read_file(path)?, &path.display().to_string()).map(|text| SecretString::from(text.as_str()));
    }
    if std::io::stdin().is_terminal() {
        if !context.ui.can_ask() {
            return Err(CliError::new(Exit::Usage, "there is no terminal to ask on")
                .hint("give the value on standard input, or with --from-file FILE"));
        }
        return rpassword::prompt_password(format!("Value of {} (not shown): ", args.name))
            .map(SecretString::from)
            .map_err(|error| CliError::new(Exit::Usage, format!("the terminal cannot be read: {}", plain(&error))));
    }
    let text = text(read(std::io::stdin().lock(), "standard input")?, "standard input")?;
    let line = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    Ok(SecretString::from(line))
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let name = path.display().to_string();
    let file = std::fs::File::open(path)
        .map_err(|error| CliError::new(Exit::Usage, format!("{name} cannot be read: {}", plain(&error))))?;
    read(file, &name)
}

fn read(from: impl Read, name: &str) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let mut bytes = Zeroizing::new(Vec::new());
    from.take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| CliError::new(Exit::Usage, format!("{name} cannot be read: {}", plain(&error))))?;
    if bytes.len() as u64 > LONGEST {
        return Err(CliError::new(Exit::Usage, format!("{name} is far too long for a secret")));
    }
    Ok(bytes)
}

fn text(bytes: Zeroizing<Vec<u8>>, name: &str) -> Result<Zeroizing<String>, CliError> {
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(CliError::new(Exit::Usage, format!("{name} is not UTF-8 text"))
            .hint("encode binary values, e.g. with base64, and decode them where they are used")),
    }
}
