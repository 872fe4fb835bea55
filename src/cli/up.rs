//! `rekindle up`.

use clap::Args;

use super::settings::Context;
use super::{CliError, Exit};

const AFTER_HELP: &str = "\
What happens, in this order:
  1. the kit is rendered and checked, secrets are opened: nothing is sent yet
  2. the cluster is reached and compared with the environment, and you are
     asked before anything is written
  3. phase by phase, objects are applied and waited for until they are healthy,
     then the phase's gates are asked
  4. the first failure stops the run; what is done stays, nothing is undone

Running it again goes on from where it stopped: what already is as the kit says
is not written again. Ctrl-C stops writing at once and says what is done.

Examples:
  rekindle up local                        into the cluster of your kubeconfig
  rekindle up staging --instance pr-123    with its own namespace and hosts
  rekindle up production --until database  stop after a phase, to look at it
  rekindle up staging --yes -o json        no questions, events as JSON

Exit codes:
  0  everything is healthy           5  cluster unreachable or not allowed
  1  a bug in rekindle               6  the cluster refused an object
  2  wrong usage                     7  not healthy in time, or failed for good
  3  the kit is wrong                8  somebody else holds the lock
  4  refused to protect something  130  interrupted";

/// Arguments of `up`.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct UpArgs {
    /// The environment to rebuild; `rekindle env list` names them
    #[arg(value_name = "ENV")]
    pub environment: String,
    /// Answer yes to ordinary questions, never to those that want a name typed
    #[arg(short, long)]
    pub yes: bool,
    /// Give the name that a protected environment wants typed, where there is no terminal
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
    /// Begin with this phase; those before it are taken to be healthy
    #[arg(long, value_name = "PHASE")]
    pub from: Option<String>,
    /// Stop after this phase
    #[arg(long, value_name = "PHASE")]
    pub until: Option<String>,
    /// Take over fields that another tool manages; without this such an object is refused
    #[arg(long)]
    pub take_ownership: bool,
}

impl UpArgs {
    /// The words after `rekindle` that say the same again, for messages that name the command to go on with.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec!["up".to_owned(), self.environment.clone()];
        for (flag, value) in [("--from", &self.from), ("--until", &self.until), ("--confirm", &self.confirm)] {
            if let Some(value) = value {
                words.extend([flag.to_owned(), value.clone()]);
            }
        }
        words.extend(self.take_ownership.then(|| "--take-ownership".to_owned()));
        words.extend(self.yes.then(|| "--yes".to_owned()));
        words
    }
}

/// Runs the command.
pub fn run(context: &mut Context, args: &UpArgs) -> Result<Exit, CliError> {
    let _ = (context, args);
    Err(CliError::new(Exit::Bug, "not built yet"))
}
