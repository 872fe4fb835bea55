//! `rekindle secrets edit`.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use clap::Args;
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use super::super::identities::explain;
use super::super::settings::Context;
use super::super::{CliError, Exit, plain};
use super::file::Target;
use super::{fresh, say_missing, vault};
use crate::manifest::mistake::Mistakes;
use crate::secrets::{Contents, Vault};

const AFTER_HELP: &str = "\
The plaintext is written to a private folder, in memory where the system has a place for that
($XDG_RUNTIME_DIR, /dev/shm), and is overwritten and removed afterwards. Only what agrees with
secrets/schema.yaml is sealed; when nothing was changed, nothing is written.

Examples:
  rekindle --kit . secrets edit production
  EDITOR='code --wait' rekindle --kit . secrets edit staging

Exit codes: 0 written or unchanged, 2 wrong usage, 3 the secrets cannot be opened, are not valid
  or cannot be written, 4 somebody else changed the file";

/// Arguments of `secrets edit`.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct EditArgs {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
}

/// Runs the command.
pub fn run(context: &mut Context, args: &EditArgs) -> Result<Exit, CliError> {
    let kit = context.kit()?;
    let vault = vault(context, &kit, &args.environment)?;
    let target = Target::of(&kit, &vault, &args.environment)?;
    let before = match vault.exists() {
        true => {
            let (text, with) = vault.plaintext().map_err(|error| explain(&context.common, error))?;
            context.ui.say(&format!("secrets opened with {with}"));
            text
        }
        false => Zeroizing::new(fresh(&vault, &args.environment)?.text().as_bytes().to_vec()),
    };
    if let Ok(contents) = Contents::parse(&before, vault.file()) {
        say_missing(context, &vault, &contents);
    }
    let scratch = Scratch::new(context, &args.environment, &before)
        .map_err(|error| CliError::new(Exit::Kit, format!("there is no place for the plaintext: {}", plain(&error))))?;
    let new = loop {
        edit(context, &args.environment, &scratch.path)?;
        let text = scratch
            .read()
            .map_err(|error| CliError::new(Exit::Kit, format!("the edited text is gone: {}", plain(&error))))?;
        if text == before && vault.exists() {
            context.ui.say("nothing was changed, nothing is written");
            let again = context.command(&["secrets", "set", &args.environment, "NAME"]);
            context.ui.say(&format!("to seal it to other recipients, set any of its values again:   {again}"));
            return Ok(Exit::Done);
        }
        match check(&text, &vault) {
            Ok(new) => break new,
            Err(mistakes) => {
                let mut error = CliError::from(mistakes);
                for mistake in &mut error.mistakes {
                    mistake.message = mistake.message.replace("decrypted text", "edited text");
                }
                if !context.ui.can_ask() {
                    return Err(error.detail("nothing was written"));
                }
                context.ui.error(&error, false);
                if !context.ui.confirm("Edit again? Otherwise the changes are lost") {
                    return Err(CliError::new(Exit::Kit, "the edited text is not valid; nothing was written"));
                }
            }
        }
    };
    for (_, value) in new.values() {
        context.ui.redactor_mut().add(value.expose_secret());
    }
    target.write(context, &vault, &new, "written")?;
    say_missing(context, &vault, &new);
    Ok(Exit::Done)
}

fn check(text: &[u8], vault: &Vault) -> Result<Contents, Mistakes> {
    let contents = Contents::parse(text, vault.file())?;
    let unknown = contents.against(vault.schema(), vault.file());
    if unknown.is_empty() { Ok(contents) } else { Err(Mistakes(unknown)) }
}

/// Runs the editor to its end. Signals are its business meanwhile: they must not end this process before the plaintext is
/// gone. Those that mean the end of the session end the editor.
fn edit(context: &Context, environment: &str, path: &Path) -> Result<(), CliError> {
    if context.editor.is_none() && !context.ui.can_ask() {
        let error = CliError::new(Exit::Usage, "nobody is there to edit: no terminal, and EDITOR names no program");
        return Err(error
            .hint(format!("set one value:  {}", context.command(&["secrets", "set", environment, "NAME"])))
            .hint("or name a program that edits the file:  EDITOR=PROGRAM rekindle …"));
    }
    let editor = context.editor.clone().unwrap_or_else(|| "vi".into());
    let failed = |why: String| {
        CliError::new(Exit::Usage, format!("the editor {editor} {why}"))
            .hint("name another one:  EDITOR=nano rekindle …")
    };
    let run = async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut quit = signal(SignalKind::quit())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut terminate = signal(SignalKind::terminate())?;
        // Through the shell, as git does it: an editor may come with arguments.
        let mut child = tokio::process::Command::new("/bin/sh")
            .args(["-c", &format!("exec {editor} \"$@\""), "sh"])
            .arg(path)
            .kill_on_drop(true)
            .spawn()?;
        loop {
            tokio::select! {
                status = child.wait() => return status,
                _ = interrupt.recv() => {}
                _ = quit.recv() => {}
                _ = hang_up.recv() => child.start_kill()?,
                _ = terminate.recv() => child.start_kill()?,
            }
        }
    };
    let status: io::Result<ExitStatus> =
        tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| runtime.block_on(run));
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(format!("failed ({status}); nothing was written"))),
        Err(error) => Err(failed(format!("cannot be started: {}", plain(&error)))),
    }
}

/// The plaintext on its way through the editor: in a folder nobody else can enter, overwritten and removed at the end.
struct Scratch {
    folder: TempDir,
    path: PathBuf,
}

impl Scratch {
    fn new(context: &Context, environment: &str, text: &[u8]) -> io::Result<Self> {
        let in_memory = context.runtime_dir.clone().into_iter().chain([PathBuf::from("/dev/shm")]);
        let mut builder = tempfile::Builder::new();
        builder.prefix("rekindle-").permissions(Permissions::from_mode(0o700));
        let folder = match in_memory.filter(|dir| dir.is_dir()).find_map(|dir| builder.tempdir_in(dir).ok()) {
            Some(folder) => folder,
            None => builder.tempdir()?,
        };
        let scratch = Self { path: folder.path().join(format!("{environment}.yaml")), folder };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&scratch.path)?;
        file.write_all(text)?;
        Ok(scratch)
    }

    fn read(&self) -> io::Result<Zeroizing<Vec<u8>>> {
        fs::read(&self.path).map(Zeroizing::new)
    }
}

impl Drop for Scratch {
    /// Overwrites everything in the folder, what the editor left there included. The folder itself goes with [`TempDir`].
    fn drop(&mut self) {
        for entry in fs::read_dir(self.folder.path()).into_iter().flatten().flatten() {
            let length = entry.metadata().map_or(0, |metadata| metadata.len());
            if let Ok(mut file) = OpenOptions::new().write(true).open(entry.path()) {
                let zeros = vec![0; usize::try_from(length).unwrap_or_default()];
                let _ = file.write_all(&zeros).and_then(|()| file.sync_all());
            }
        }
    }
}
