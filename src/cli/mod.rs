//! The command line: parses, resolves settings once, calls the library, prints. The only place that prints.

mod check;
mod command_line;
mod completions;
mod connection;
mod data;
mod down;
mod env;
mod error;
mod guard;
mod health;
mod identities;
mod input;
mod journal;
mod lock;
mod mistakes;
mod ownership;
mod pins;
mod plan;
mod process;
mod rbac;
mod rehearsals;
mod rehearse;
mod render;
mod replace;
mod report_file;
mod run_view;
mod running;
mod runs;
mod saved;
mod scopes;
mod secrets;
mod settings;
mod status;
mod ui;
mod up;

use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

pub use command_line::command_line;
use error::plain;
pub use error::{CliError, Exit};
use settings::Context;

const AFTER_HELP: &str = "\
Examples:
  rekindle env list                the environments of the kit in this binary
  rekindle up local                rebuild one in the cluster of your kubeconfig
  rekindle status local            look at it
  rekindle check --kit ./my-kit    find mistakes in a kit of your own

Data goes to stdout, everything else to stderr; with -o json stdout holds one
JSON object a line. A secret is never shown. Commands in messages can be pasted.

Exit codes:
  0  done                            5  cluster unreachable or not allowed
  1  a bug in rekindle               6  the cluster refused an object
  2  wrong usage                     7  not healthy in time, or failed for good
  3  the kit is wrong                8  somebody else holds the lock
  4  refused to protect something    9  there are changes (--exit-code)
                                   130  interrupted";

/// Rebuild a whole Kubernetes environment from nothing with one command
#[derive(Parser)]
#[command(
    name = "rekindle",
    version,
    max_term_width = 110,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = AFTER_HELP
)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Use the kit in this folder instead of the one inside the binary
    #[arg(long, global = true, value_name = "DIR")]
    pub kit: Option<std::path::PathBuf>,
    /// Read the cluster's address and credentials from this file [default: $KUBECONFIG, then ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<std::path::PathBuf>,
    /// Use this context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Open secrets with this age identity (repeatable; also REKINDLE_IDENTITY)
    #[arg(long, global = true, value_name = "FILE")]
    pub identity: Vec<std::path::PathBuf>,
    /// Work on a named copy of the environment: own namespace, hosts and archive prefix
    #[arg(long, global = true, value_name = "NAME")]
    pub instance: Option<String>,
    /// Override a value, e.g. api.replicas=2 (repeatable)
    #[arg(long = "set", global = true, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Override an image, e.g. api=registry/name:tag (repeatable)
    #[arg(long = "image", global = true, value_name = "NAME=REF")]
    pub image: Vec<String>,
    /// Print for people (human) or for programs (json)
    #[arg(short = 'o', long, global = true, value_parser = Output::read, default_value = "human")]
    pub output: Output,
    /// Show more: -v every event and request to the cluster, -vv everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// How the program was called, if by a path; for the commands that messages show.
    #[arg(skip)]
    pub program: Option<String>,
}

/// Form of the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Text for people.
    Human,
    /// One JSON object a line.
    Json,
    /// Text for people, and the plan saved in this file. Only `plan` has something to save.
    File(std::path::PathBuf),
}

impl Output {
    fn read(typed: &str) -> Result<Self, String> {
        match typed {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            // Whatever is no mistyped word.
            path if path.contains(['/', '.']) => Ok(Self::File(path.into())),
            _ => Err("it is human or json; `plan` also takes a file such as plan.json".into()),
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Rebuild an environment: each phase healthy before the next
    Up(up::UpArgs),
    /// Take an environment down and keep its data, with proof
    Down(down::DownArgs),
    /// Show what `up` would do: every object, field by field, and what happens to data
    Plan(plan::PlanArgs),
    /// Rebuild an environment in a simulated cluster, in a moment
    Rehearse(rehearse::RehearseArgs),
    /// Print the objects of an environment as YAML, secrets redacted
    Render(render::RenderArgs),
    /// Look for mistakes in the kit without a cluster
    Check(check::CheckArgs),
    /// Show how an environment is doing, object by object
    Status(status::StatusArgs),
    /// Judge objects given as YAML or JSON: ready or not, and why
    Health(health::HealthArgs),
    /// List the runs of this machine, and show one again
    #[command(subcommand)]
    Runs(runs::RunsCommand),
    /// List, show and explain environments
    #[command(subcommand)]
    Env(env::EnvCommand),
    /// Make keys; show, set and edit secrets
    #[command(subcommand)]
    Secrets(secrets::SecretsCommand),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
}

/// Parses the command line, runs the command and maps its result to an exit code.
pub fn main() -> ExitCode {
    let mut cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Exit::Usage as u8 } else { Exit::Done as u8 });
        }
    };
    cli.common.program = command_line::program(std::env::args_os().next());
    if let (Output::File(file), false) = (&cli.common.output, matches!(cli.command, Command::Plan(_))) {
        let wrong = format!("invalid value '{}' for '--output <OUTPUT>': only plan is saved in a file", file.display());
        let _ = Cli::command().error(clap::error::ErrorKind::InvalidValue, wrong).print();
        return ExitCode::from(Exit::Usage as u8);
    }
    let mut context = Context::from_process(cli.common);
    context.ui.start_logging(context.common.verbose);
    let bugs = context.ui.clone();
    std::panic::set_hook(Box::new(move |panic| bugs.tell_of_bug(&panic.to_string())));
    let run = || match cli.command {
        Command::Up(args) => up::run(&mut context, &args),
        Command::Down(args) => down::run(&mut context, &args),
        Command::Plan(args) => plan::run(&mut context, &args),
        Command::Rehearse(args) => rehearse::run(&mut context, &args),
        Command::Render(args) => render::run(&mut context, &args),
        Command::Check(args) => check::run(&mut context, &args),
        Command::Status(args) => status::run(&mut context, &args),
        Command::Health(args) => health::run(&mut context, &args),
        Command::Runs(command) => runs::run(&mut context, &command),
        Command::Env(command) => env::run(&mut context, &command),
        Command::Secrets(command) => secrets::run(&mut context, &command),
        Command::Completions(args) => completions::run::<Cli>(&mut context, &args),
    };
    // What is left of the context after a panic is only asked to end its output.
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    let json = context.json();
    let result = result.unwrap_or_else(|_| Err(CliError::new(Exit::Bug, "this is a bug in rekindle, not in your kit")));
    let exit = result.unwrap_or_else(|error| {
        context.ui.error(&error, json);
        error.exit
    });
    match context.ui.finish() {
        Err(error) if exit == Exit::Done => {
            let error = CliError::new(Exit::Bug, format!("standard output cannot be written: {error}"));
            context.ui.error(&error, false);
            ExitCode::from(error.exit as u8)
        }
        _ => ExitCode::from(exit as u8),
    }
}
