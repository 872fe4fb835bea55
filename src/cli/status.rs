//! `rekindle status`.

use clap::Args;

use super::connection::block_on;
use super::identities::open_secrets;
use super::lock::facts_of;
use super::rehearsals;
use super::scopes::without_namespaces;
use super::settings::Context;
use super::{CliError, Exit};
use crate::cluster::lock::Lock;
use crate::cluster::observe::{live_values, observe};
use crate::data::survey::{as_made, live_claims};
use crate::kit::Environment;
use crate::plan::full_name;
use crate::report::sanitize::clean;
use crate::report::status::{Observed, rows, summary};
use crate::secrets::StandIns;

const AFTER_HELP: &str = "\
Reads the cluster and writes nothing. Every object of the kit is judged by what
its controllers say of it, by the rules that `up` waits by; gates are not asked.
The last rehearsal on this machine is told, too: how old it is, how long the
rebuild took in it, and whether the kit has changed since.
With -o json: one object a line, with its phase, object, status (ready,
progressing, failed or missing) and reason.

Examples:
  rekindle status production
  rekindle status staging --instance pr-123 -o json | jq 'select(.status != \"ready\")'

Exit codes:
  0  everything is ready             5  cluster unreachable or not allowed
  2  wrong usage                     7  something is not ready
  3  the kit is wrong";

/// Arguments of `status`.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct StatusArgs {
    /// The environment to look at; `rekindle env list` names them
    #[arg(value_name = "ENV")]
    pub environment: String,
}

/// Runs the command.
pub fn run(context: &mut Context, args: &StatusArgs) -> Result<Exit, CliError> {
    let kit = context.kit()?;
    let environment = kit.environment(&args.environment, &context.overrides()?)?;
    // Nothing is sent, so nobody needs a key to look. Who has one gets it used: what containers say of themselves may
    // hold their secrets, which can only be redacted when they are known.
    let vault = open_secrets(context, &kit, &environment)?;
    let (rendered, opened) = match kit.render(&environment, &vault) {
        Ok(rendered) => (rendered, true),
        Err(_) => (kit.render(&environment, &StandIns::of(&kit)?)?, false),
    };
    let redactor = context.ui.redactor_mut().clone();
    let (observed, holder) = block_on(async {
        let cluster = context.connect(&environment).await?;
        let render = |environment: &Environment| -> Result<_, CliError> {
            Ok(if opened { kit.render(environment, &vault)? } else { kit.render(environment, &StandIns::of(&kit)?)? })
        };
        let (rendered, environment) = match without_namespaces(&environment, &rendered, &cluster.kinds) {
            Some(environment) => (render(&environment)?, environment),
            None => (rendered, environment.clone()),
        };
        if !opened {
            for value in live_values(&cluster, &rendered, StandIns::MARK).await {
                redactor.add(&value);
            }
        }
        // A stand-by has fewer objects than its kit, and what was restored may have others. Who may not list claims sees the kit.
        let claims = live_claims(&cluster, &rendered.claims).await.unwrap_or_default();
        let (data, lineages) = as_made(&rendered.claims, &claims);
        let rendered = if environment.sees(&data, &lineages) {
            rendered
        } else {
            render(&Environment { data, lineages, ..environment.clone() })?
        };
        // Who may not read the lock sees everything else.
        let name = full_name(&environment.name, environment.instance.as_deref());
        let holder = Lock::holder(&cluster, &name).await.ok().flatten();
        Ok((observe(&cluster, &rendered).await?, holder))
    })?;
    let observed: Vec<_> = observed.into_iter().map(Observed::from).collect();
    let exit = show(context, &args.environment, &observed);
    if let Some(holder) = holder.filter(|_| !context.json()) {
        for (label, line) in ["  locked:   ", "            "].iter().zip(facts_of(&holder)) {
            context.ui.say(&clean(&format!("{label}{line}")));
        }
    }
    if let Some(rehearsed) = rehearsals::last(context, &kit, &environment).filter(|_| !context.json()) {
        context.ui.say(&format!("  {rehearsed}"));
    }
    Ok(exit)
}

/// Prints the verdicts: objects to stdout, the summary to stderr.
fn show(context: &mut Context, environment: &str, observed: &[Observed]) -> Exit {
    if context.json() {
        for one in observed {
            context.ui.out_json(one.to_json());
        }
    } else {
        let lines = rows(observed, &|reason| clean(&context.ui.redact(reason)));
        context.ui.out_lines(&lines);
        let again = context.command(&["up", environment]);
        context.ui.say_lines(&summary(environment, observed, &again));
    }
    if observed.iter().all(Observed::is_ready) { Exit::Done } else { Exit::Unhealthy }
}
