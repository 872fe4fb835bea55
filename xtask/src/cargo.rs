//! Running cargo, and other programs whose output people should see as it comes.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::progress::{interrupted, say};

/// A cargo command in the workspace's folder, as if started by a person: what cargo told this process about the package
/// xtask is taken away, because build scripts that look at it would run again.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(workspace());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"].iter().any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
    command
}

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    let mut folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder.pop();
    folder
}

/// Builds the program and returns its path.
///
/// # Errors
/// When it does not compile.
pub fn rekindle(release: bool) -> Result<PathBuf> {
    let mut command = cargo(&["build", "--bin", "rekindle"]);
    if release {
        command.arg("--release");
    }
    run(command)?;
    // Beside this program, wherever the target folder is.
    let mut path = std::env::current_exe().context("cannot tell where this program is")?;
    path.pop();
    path.pop();
    path.extend([if release { "release" } else { "debug" }, "rekindle"]);
    Ok(path)
}

/// Runs a command with no input and its output passed on; ended with everything it started on Ctrl-C.
///
/// # Errors
/// When it cannot be started, fails or is interrupted.
pub fn run(command: Command) -> Result<()> {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let name = words.first().and_then(|program| program.rsplit('/').next()).unwrap_or_default().to_owned();
    let line = format!("{name} {}", words.get(1..).unwrap_or_default().join(" "));
    say(&line);
    let status = wait(command).with_context(|| format!("cannot run {name}"))?;
    if interrupted() {
        bail!("interrupted");
    }
    if !status.success() {
        bail!("{line}: {status}");
    }
    Ok(())
}

fn wait(mut command: Command) -> Result<ExitStatus> {
    // In a group of its own, so that all of it can be ended; nothing in it needs the terminal.
    let mut child = command.stdin(Stdio::null()).process_group(0).spawn()?;
    let group = Pid::from_child(&child);
    let mut told = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if interrupted() && !told {
            // It may have ended in between.
            let _ = kill_process_group(group, Signal::TERM);
            told = true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
