//! `rekindle completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::settings::Context;
use super::{CliError, Exit};

/// Arguments of `completions`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell, e.g. bash: rekindle completions bash > ~/.local/share/bash-completion/completions/rekindle
    shell: Shell,
}

/// Runs the command.
pub fn run<Root: CommandFactory>(context: &mut Context, args: &CompletionsArgs) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Root::command(), "rekindle", &mut script);
    context.ui.out(String::from_utf8_lossy(&script).trim_end());
    Ok(Exit::Done)
}
