//! `rekindle up`.

use clap::Args;

use super::connection::block_on;
use super::data::{self, DataArgs, Draft, Reach};
use super::identities::explain;
use super::lock::Wish;
use super::ownership::{self, WishArgs};
use super::render::render_and_keep;
use super::report_file::{ReportArgs, ReportFile};
use super::run_view::RunView;
use super::running::Running;
use super::scopes::Planned;
use super::settings::Context;
use super::{CliError, Exit, saved};
use crate::cluster::binding::Binding;
use crate::cluster::{Cluster, ClusterError};
use crate::kit::{Environment, Kit};
use crate::plan::Plan;
use crate::plan::decide::Wishes;
use crate::plan::proposal::SavedPlan;
use crate::rebuild::{Options, Part};
use crate::report::hosts::hosts;
use crate::secrets::schema::SEED;
use crate::secrets::{self, Vault};

const AFTER_HELP: &str = "\
What happens, in this order:
  1. the kit is rendered and checked, secrets are opened: nothing is sent yet
  2. the cluster is reached and compared with the environment, and you are
     asked before anything is written (in a terminal, unless --yes; a protected
     environment always wants its name, typed or by --confirm)
  3. phase by phase, objects are applied and waited for until they are healthy,
     then the phase's gates are asked
  4. the first failure stops the run; what is done stays, nothing is undone

Running it again goes on from where it stopped: what already is as the kit says
is not written again. Ctrl-C stops writing at once and says what is done.
One run at a time works on an environment; another one ends with exit code 8.

Examples:
  rekindle up local                        into the cluster of your kubeconfig
  rekindle up staging --instance pr-123    with its own namespace and hosts
  rekindle up production --until database  stop after a phase, to look at it
  rekindle up production --plan plan.json  what a saved plan says, or nothing
  rekindle up staging --yes -o json        no questions, events as JSON
  rekindle up staging --report up.html     a report of the run, however it ends

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
    /// Begin with this phase; those before it must be there, and are not waited for
    #[arg(long, value_name = "PHASE")]
    pub from: Option<String>,
    /// Stop after this phase
    #[arg(long, value_name = "PHASE")]
    pub until: Option<String>,
    /// Take the lock away from a run that lives; wants the environment's name typed, or given by --confirm
    #[arg(long)]
    pub break_lock: bool,
    /// Execute a saved plan: exactly that, or nothing where something has changed since
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "until", "take_ownership", "adopt", "data", "allow_empty", "recover_to", "promote"])]
    pub plan: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub wishes: WishArgs,
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub report: ReportArgs,
}

impl UpArgs {
    /// The words after `rekindle` that say the same again, for messages that name the command to go on with. A lock that was
    /// broken once is not to be broken again by pasting.
    pub fn words(&self) -> Vec<String> {
        let mut words = self.words_without_plan();
        if let Some(file) = &self.plan {
            words.splice(2..2, ["--plan".to_owned(), file.to_string_lossy().into_owned()]);
        }
        words
    }

    /// The same without the saved plan: once something of it is done, it does not hold any more.
    fn words_without_plan(&self) -> Vec<String> {
        let mut words = vec!["up".to_owned(), self.environment.clone()];
        for (flag, value) in [("--from", &self.from), ("--until", &self.until), ("--confirm", &self.confirm)] {
            if let Some(value) = value {
                words.extend([flag.to_owned(), value.clone()]);
            }
        }
        words.extend(self.wishes.words());
        words.extend(self.data.words());
        words.extend(self.report.words());
        words.extend(self.yes.then(|| "--yes".to_owned()));
        words
    }
}

/// Runs the command.
pub fn run(context: &mut Context, args: &UpArgs) -> Result<Exit, CliError> {
    let report = args.report.open()?;
    let kit = context.kit()?;
    let environment = kit.environment(&args.environment, &context.overrides()?)?;
    refuse_demonstration_keys(context, &kit, &environment)?;
    let (rendered, vault) = render_and_keep(context, &kit, &environment)?;
    refuse_published_values(context, &vault, &environment)?;
    let plan = Plan::of(&rendered)?;
    for (flag, name) in [("--from", &args.from), ("--until", &args.until)] {
        check_phase(&plan, flag, name.as_deref())?;
    }
    check_order(&plan, args)?;
    ownership::check_names(&plan, &args.wishes.adopt)?;
    let saved = args.plan.as_deref().map(|file| saved::read(context, file, &plan)).transpose()?;
    let said = saved.as_ref().map_or_else(|| args.data.clone(), |saved| DataArgs::saved(&saved.data));
    let answers = said.answers(&plan)?;
    check_confirmation(&plan, args)?;
    block_on(async move {
        let (cluster, binding) = context.connect_bound(&environment, "up").await?;
        if let Some(saved) = &saved {
            saved.is_for(&cluster.uid).map_err(|error| saved::refuse(context, args, &error))?;
        }
        let known = Planned { environment, rendered, plan }.in_cluster(&cluster.kinds, &kit, &vault)?;
        let Planned { environment, rendered, plan } = known;
        context.check_rights(&cluster, &plan).await?;
        let words = args.words();
        let draft = Draft { kit: &kit, environment: &environment, secrets: &vault, rendered, words };
        let (from, until) = (args.from.as_deref(), args.until.as_deref());
        let reach = Reach { cluster: &cluster, from, until, bound: true, simulated: false };
        let plan = data::decided(context, &answers, draft, plan, &reach).await?;
        // A stand-by has fewer phases than its kit.
        for (flag, name) in [("--from", from), ("--until", until)] {
            check_phase(&plan, flag, name)?;
        }
        if let Some(saved) = &saved {
            data::still_holds(&saved.data, &plan.data).map_err(|error| saved::refuse(context, args, &error))?;
        }
        // The plan holds all that is sent; the kit need not be kept through hours of waiting.
        drop((kit, vault));
        // The run looks again once it has the lock. Before that it is worth a look where somebody would be asked in vain, or
        // where even Rekindle's own records would be the first thing ever written.
        if context.ui.can_ask() || saved.is_some() || !binding.known {
            assess(context, args, &plan, &cluster, saved.as_ref()).await?;
        }
        data::show(context, &plan.data);
        confirm(context, args, &environment, &plan, &cluster)?;
        data::confirm(context, &args.data, &plan.data)?;
        let binding = binding.renew(&cluster).await?;
        rebuild(context, args, &plan, cluster, binding, saved, report).await
    })
}

/// What is allowed beyond the ordinary: what the saved plan says where there is one.
fn wishes(args: &UpArgs, saved: Option<&SavedPlan>) -> Wishes {
    saved.map_or_else(|| args.wishes.wishes(), saved::wishes)
}

/// Looks before anybody is asked and anything is written whether the run could begin: nothing of somebody else's stands in its
/// way, and a saved plan still holds.
async fn assess(
    context: &Context,
    args: &UpArgs,
    plan: &Plan,
    cluster: &Cluster,
    saved: Option<&SavedPlan>,
) -> Result<(), CliError> {
    let (again, look) = (context.command(&args.words()), context.command(&["plan", &args.environment]));
    let part = Part::of(plan, args.from.as_deref(), args.until.as_deref());
    let found = crate::rebuild::assess(cluster, plan, &part, &wishes(args, saved), saved).await;
    let explain = |error| explain_refusal(context, args, error, &plan.environment, &again, &look);
    found.map(drop).map_err(explain)
}

/// What ended a run before its first write, with the commands to go on.
fn explain_refusal(
    context: &Context,
    args: &UpArgs,
    error: ClusterError,
    environment: &str,
    again: &str,
    look: &str,
) -> CliError {
    match error {
        ClusterError::Outdated(outdated) => saved::refuse(context, args, &outdated),
        error => ownership::explain(error, environment, again, look),
    }
}

/// A protected environment must not be built on keys that everybody has.
fn refuse_demonstration_keys(context: &Context, kit: &Kit, environment: &Environment) -> Result<(), CliError> {
    if !environment.protected
        || !secrets::is_sealed_to_demonstration(kit, environment).map_err(|error| explain(&context.common, error))?
    {
        return Ok(());
    }
    let name = &environment.name;
    Err(CliError::new(
        Exit::Protected,
        format!("refused: {name} is protected, and its secrets are sealed to the published demonstration key"),
    )
    .detail("anybody can read them; nothing was written")
    .hint("make a key of your own:          rekindle secrets keygen")
    .hint(format!("name its recipient for {name} in secrets/recipients.yaml of your kit, then fill in the secrets:"))
    .hint(format!("                                 {}", edit_secrets(context, name))))
}

/// A protected environment must not live on values that everybody has, whoever they are sealed to now.
fn refuse_published_values(context: &Context, vault: &Vault, environment: &Environment) -> Result<(), CliError> {
    let published = secrets::published_values(vault);
    if !environment.protected || published.is_empty() {
        return Ok(());
    }
    let name = &environment.name;
    let mut error = CliError::new(
        Exit::Protected,
        format!("refused: {name} still uses published demonstration values; nothing was written"),
    )
    .detail(format!("published: {}", published.join(", ")));
    if published.iter().any(|value| value == SEED) {
        error = error.detail("from the seed every generated password is derived: anybody can compute them");
    }
    Err(error
        .hint("put values of your own in their place (for the seed: 43 random characters of A-Z a-z 0-9 - _):")
        .hint(format!("   {}", edit_secrets(context, name))))
}

/// The command that edits an environment's secrets: of the kit that was named, since that inside the binary stays as it is.
fn edit_secrets(context: &Context, environment: &str) -> String {
    match context.common.kit {
        Some(_) => context.command(&["secrets", "edit", environment]),
        None => format!("rekindle secrets edit {environment} --kit DIR"),
    }
}

fn check_phase(plan: &Plan, flag: &str, name: Option<&str>) -> Result<(), CliError> {
    let names: Vec<_> = plan.phases.iter().map(|phase| phase.name.as_str()).collect();
    match name.filter(|name| !names.contains(name)) {
        None => Ok(()),
        Some(name) => Err(CliError::new(Exit::Usage, format!("{flag} {name}: the stack has no such phase"))
            .hint(format!("its phases are {}", names.join(", ")))),
    }
}

fn check_order(plan: &Plan, args: &UpArgs) -> Result<(), CliError> {
    let position = |name: &Option<String>| plan.phases.iter().position(|phase| Some(&phase.name) == name.as_ref());
    match (&args.from, &args.until) {
        (Some(from), Some(until)) if position(&args.from) > position(&args.until) => {
            let message =
                format!("--from {from} --until {until}: {from} comes after {until}, so there is nothing to do");
            Err(CliError::new(Exit::Usage, message))
        }
        _ => Ok(()),
    }
}

/// A name that was typed is meant, also where none is asked for: it may be the other environment that was meant.
fn check_confirmation(plan: &Plan, args: &UpArgs) -> Result<(), CliError> {
    match args.confirm.as_ref().filter(|typed| **typed != plan.environment) {
        Some(typed) => {
            let message = format!("refused: --confirm {typed} is not {}; nothing was written", plan.environment);
            Err(CliError::new(Exit::Protected, message))
        }
        None => Ok(()),
    }
}

/// Asks before the first write what has to be asked: a protected environment wants its name typed, another one a yes where
/// somebody sits at a terminal.
fn confirm(
    context: &mut Context,
    args: &UpArgs,
    environment: &Environment,
    plan: &Plan,
    cluster: &Cluster,
) -> Result<(), CliError> {
    let name = plan.environment.as_str();
    let target = format!("{name} → {}   Kubernetes {}, {}", cluster.context, cluster.version, cluster.server);
    if !environment.protected {
        if args.yes || args.confirm.is_some() || !context.ui.can_ask() {
            return Ok(());
        }
        context.ui.say(&target);
        return if context.ui.confirm("Go on?") {
            Ok(())
        } else {
            Err(CliError::new(Exit::Protected, "refused: there was no yes; nothing was written"))
        };
    }
    // One that does not match is refused already.
    if args.confirm.is_some() {
        return Ok(());
    }
    if !context.ui.can_ask() {
        return Err(CliError::new(
            Exit::Protected,
            format!("refused: {name} is protected and nobody is there to ask; nothing was written"),
        )
        .hint(format!("say that you mean it with --confirm {name}")));
    }
    context.ui.say(&target);
    if context.ui.confirm_typed("Type the name of the environment to go on", name) {
        Ok(())
    } else {
        Err(CliError::new(Exit::Protected, "refused: the name was not typed; nothing was written"))
    }
}

/// Takes the lock, executes the plan, and gives the lock back however that ended.
async fn rebuild(
    context: &mut Context,
    args: &UpArgs,
    plan: &Plan,
    cluster: Cluster,
    binding: Binding,
    saved: Option<SavedPlan>,
    report: Option<ReportFile>,
) -> Result<Exit, CliError> {
    let words = args.words();
    let (again, look) = (context.command(&words), context.command(&["plan", &args.environment]));
    let wish = Wish {
        environment: &plan.environment,
        breaking: args.break_lock,
        confirm: args.confirm.as_deref(),
        words: &words,
        untouched: "nothing was written",
    };
    let running = Running::begin(context, &cluster, &wish).await?;
    let hosts = hosts(plan.phases.iter().flat_map(|phase| &phase.items).map(|item| &item.object));
    let status = context.command(&["status", &args.environment]);
    // Before this run has a journal of its own.
    let resumes = super::journal::resumes(context, &plan.environment, &cluster.uid);
    let journal = running.journal(context, &cluster, &plan.stack, &wish, status.clone(), hosts.clone());
    let wishes = wishes(args, saved.as_ref());
    let options = Options {
        run: running.run.clone(),
        started: running.started,
        take_ownership: wishes.take_ownership,
        adopt: wishes.adopt,
        saved,
        redactor: context.ui.redactor_mut().clone(),
        from: args.from.clone(),
        until: args.until.clone(),
        lock: Some(running.lock.lost()),
        resumes,
        notices: running.lock.overruled.iter().cloned().collect(),
        binding: Some(binding),
        stand_in: None,
    };
    // What a saved plan has done is not done again: from there the run goes on without it.
    let view = RunView::new(context, &args.words_without_plan(), hosts).reporting(report);
    let work = |events, stop| crate::rebuild::run(cluster, plan, options, events, stop);
    let explain = |error| explain_refusal(context, args, error, &plan.environment, &again, &look);
    running.follow(view, journal, work, explain, format!("look what is there:   {status}")).await
}
