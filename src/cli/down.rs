//! `rekindle down`.

use clap::Args;

use super::connection::block_on;
use super::lock::Wish;
use super::run_view::RunView;
use super::running::Running;
use super::scopes::without_namespaces;
use super::settings::Context;
use super::{CliError, Exit};
use crate::cluster::Cluster;
use crate::kit::Environment;
use crate::manifest::mistake::nearest;
use crate::plan::down::{Claim, DataSet, Proof, Scope, proof};
use crate::rebuild::down::{Options, Survey, survey};
use crate::report::down::preview;
use crate::secrets::StandIns;

const AFTER_HELP: &str = "\
What happens, in this order:
  1. what is there is read and shown: what goes, and what stays
  2. you are asked (in a terminal, unless --yes; a protected environment always
     wants its name; an instance of an unprotected one goes without questions)
  3. every volume is set to outlive its claim (Retain), and read back
  4. phase by phase, from the last to the first, objects are deleted and their
     pods waited for, so that databases shut down cleanly
  5. the proof: each claim with its volume, where it lies, phase and policy

Claims, volumes, namespaces, definitions (CRDs) and backups stay, and so does
what says rekindle.dev/keep; `up` afterwards finds its data again. No identity
is needed. Ctrl-C at any moment; a second `down` finishes.

Data goes only by name: --delete-data DATASET, and the name typed once more (or
--confirm-data NAME). Never in a protected environment.

Examples:
  rekindle down local                      asks first, keeps the data
  rekindle down staging --instance pr-123 --yes -o json
  rekindle down local --delete-data redis  with the claim of the data set redis

Exit codes:
  0  down, or nothing was there      5  cluster unreachable or not allowed
  1  a bug in rekindle               6  the cluster refused
  2  wrong usage                     7  something does not go away
  3  the kit is wrong                8  another run holds the lock
  4  refused to protect something  130  interrupted";

/// Arguments of `down`.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct DownArgs {
    /// The environment to take down; `rekindle env list` names them
    #[arg(value_name = "ENV")]
    pub environment: String,
    /// Answer yes to ordinary questions, never to those that want a name typed
    #[arg(short, long)]
    pub yes: bool,
    /// Give the name that a protected environment wants typed, where there is no terminal
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
    /// Delete the claims and volumes of this data set as well (repeatable)
    #[arg(long, value_name = "DATASET")]
    pub delete_data: Vec<String>,
    /// Give the name of a data set that is to be deleted, where there is no terminal (repeatable)
    #[arg(long, value_name = "NAME")]
    pub confirm_data: Vec<String>,
    /// Take the lock also from a run that lives; wants the environment's name typed
    #[arg(long)]
    pub break_lock: bool,
}

impl DownArgs {
    /// The words after `rekindle` that say the same again.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec!["down".to_owned(), self.environment.clone()];
        let confirm = self.confirm.iter().map(|name| ("--confirm", name));
        let data = self.delete_data.iter().map(|name| ("--delete-data", name));
        let typed = self.confirm_data.iter().map(|name| ("--confirm-data", name));
        for (flag, value) in confirm.chain(data).chain(typed) {
            words.extend([flag.to_owned(), value.clone()]);
        }
        words.extend(self.yes.then(|| "--yes".to_owned()));
        words
    }
}

/// Runs the command.
pub fn run(context: &mut Context, args: &DownArgs) -> Result<Exit, CliError> {
    let kit = context.kit()?;
    let environment = kit.environment(&args.environment, &context.overrides()?)?;
    // What goes is known by names and labels; no secret is needed for that.
    let rendered = kit.render(&environment, &StandIns::of(&kit)?)?;
    let scope = Scope::of(&rendered);
    let delete_data = data_sets(context, args, &environment, &scope)?;
    check_names(args, &scope)?;
    block_on(async {
        let (cluster, _) = context.connect_bound(&environment, "down").await?;
        let scope = match without_namespaces(&environment, &rendered, &cluster.kinds) {
            Some(environment) => Scope::of(&kit.render(&environment, &StandIns::of(&kit)?)?),
            None => scope,
        };
        drop((kit, rendered));
        let found = survey(&cluster, &scope).await?;
        refuse_others(context, args, &scope, &found, &delete_data)?;
        if found.down.goes() == 0 && found.claims.is_empty() && found.down.kept.is_empty() {
            return Ok(nothing_there(context, &scope, &cluster));
        }
        if found.down.goes() > 0 || !delete_data.is_empty() {
            confirm(context, args, &environment, &scope, &cluster, &found, &delete_data)?;
        }
        cluster.verify_identity().await?;
        take_down(context, args, &scope, cluster, delete_data).await
    })
}

/// Data that may be another environment's is not deleted, whatever the kit calls its claims.
fn refuse_others(
    context: &Context,
    args: &DownArgs,
    scope: &Scope,
    found: &Survey,
    delete_data: &[DataSet],
) -> Result<(), CliError> {
    let Some((claim, owner)) = delete_data.iter().find_map(|set| found.other_of(set)) else { return Ok(()) };
    let name = &scope.environment;
    let message =
        format!("refused: the claim {claim} may hold data of {owner}, not only of {name}; nothing was deleted");
    Err(CliError::new(Exit::Protected, message)
        .detail(format!("nothing says that it is {name}'s, and {owner} has it or works in its namespace"))
        .hint(format!("without its data, which stays:   {}", context.command(&["down", &args.environment]))))
}

fn nothing_there(context: &mut Context, scope: &Scope, cluster: &Cluster) -> Exit {
    if context.json() {
        context.ui.out_json(serde_json::json!({
            "version": crate::rebuild::event::VERSION,
            "event": "nothing-there",
            "environment": scope.environment,
            "cluster": cluster.uid,
        }));
    }
    context.ui.say(&format!(
        "{} is not there: nothing of it is in {} at {}",
        scope.environment, cluster.context, cluster.server
    ));
    Exit::Done
}

/// The data sets that are to be deleted. Refuses before any connection what is refused anyway.
fn data_sets(
    context: &Context,
    args: &DownArgs,
    environment: &Environment,
    scope: &Scope,
) -> Result<Vec<DataSet>, CliError> {
    let mut found: Vec<DataSet> = Vec::new();
    for name in &args.delete_data {
        match scope.data_sets.iter().find(|set| set.name == *name) {
            Some(set) if found.contains(set) => {}
            Some(set) => found.push(set.clone()),
            None => {
                let known: Vec<&str> = scope.data_sets.iter().map(|set| set.name.as_str()).collect();
                let error = CliError::new(Exit::Usage, format!("--delete-data {name}: the kit has no such data set"));
                return Err(match nearest(name, known.iter().copied()) {
                    Some(near) => error.hint(format!("did you mean {near}?")),
                    None if known.is_empty() => error.hint("it names none at all"),
                    None => error.hint(format!("it has {}", known.join(", "))),
                });
            }
        }
    }
    if environment.protected && !found.is_empty() {
        let name = &scope.environment;
        return Err(CliError::new(
            Exit::Protected,
            format!("refused: {name} is protected, and its data is not deleted; nothing was deleted"),
        )
        .detail("the newest backup cannot be proven fresh")
        .hint(format!("without its data, which stays:   {}", context.command(&["down", &args.environment]))));
    }
    for name in &args.confirm_data {
        if !args.delete_data.contains(name) {
            let message =
                format!("refused: --confirm-data {name} is not among what --delete-data names; nothing was deleted");
            return Err(CliError::new(Exit::Protected, message));
        }
    }
    Ok(found)
}

/// A name that was typed is meant, also where none is asked for.
fn check_names(args: &DownArgs, scope: &Scope) -> Result<(), CliError> {
    match args.confirm.as_ref().filter(|typed| **typed != scope.environment) {
        Some(typed) => {
            let message = format!("refused: --confirm {typed} is not {}; nothing was deleted", scope.environment);
            Err(CliError::new(Exit::Protected, message))
        }
        None => Ok(()),
    }
}

/// Shows what would be done, and asks what has to be asked.
fn confirm(
    context: &mut Context,
    args: &DownArgs,
    environment: &Environment,
    scope: &Scope,
    cluster: &Cluster,
    found: &Survey,
    delete_data: &[DataSet],
) -> Result<(), CliError> {
    let name = scope.environment.as_str();
    let proofs: Vec<Proof> = found.claims.iter().map(|claim| proof(claim, found.volume_of(claim))).collect();
    let place = |claim: &Claim| (claim.namespace.clone(), claim.name.clone());
    let data: Vec<(String, Vec<(String, String)>)> =
        delete_data.iter().map(|set| (set.name.clone(), found.claims_of(set).map(place).collect())).collect();
    let nodes = format!("Kubernetes {}, {}", cluster.version, cluster.server);
    context.ui.say(&format!("{name} → {}   {nodes}", cluster.context));
    context.ui.say_lines(&preview(found, &proofs, &data));
    let refused = |why: &str| CliError::new(Exit::Protected, format!("refused: {why}; nothing was deleted"));
    let asked = args.confirm.is_some();
    if environment.protected && !asked {
        if !context.ui.can_ask() {
            return Err(refused(&format!("{name} is protected and nobody is there to ask"))
                .hint(format!("say that you mean it with --confirm {name}")));
        }
        if !context.ui.confirm_typed("Type the name of the environment to take it down", name) {
            return Err(refused("the name was not typed"));
        }
    }
    if !environment.protected && environment.instance.is_none() && !asked && !args.yes {
        if !context.ui.can_ask() {
            return Err(refused("nobody is there to ask").hint("say that you mean it with --yes"));
        }
        if !context.ui.confirm("Take it down?") {
            return Err(refused("there was no yes"));
        }
    }
    for set in delete_data.iter().filter(|set| !args.confirm_data.contains(&set.name)) {
        let set = &set.name;
        if !context.ui.can_ask() {
            return Err(refused(&format!("the data set {set} would be deleted, and nobody is there to ask"))
                .hint(format!("say that you mean it with --confirm-data {set}")));
        }
        if !context.ui.confirm_typed("Type the name of the data set to delete it for good", set) {
            return Err(refused("the name was not typed"));
        }
    }
    Ok(())
}

/// Takes the lock, takes the environment down, and gives the lock back however that ended.
async fn take_down(
    context: &mut Context,
    args: &DownArgs,
    scope: &Scope,
    cluster: Cluster,
    delete_data: Vec<DataSet>,
) -> Result<Exit, CliError> {
    let words = args.words();
    let wish = Wish {
        environment: &scope.environment,
        breaking: args.break_lock,
        confirm: args.confirm.as_deref(),
        words: &words,
        untouched: "nothing was deleted",
    };
    let running = Running::begin(context, &cluster, &wish).await?;
    let up = context.command(&["up", &args.environment]);
    let journal = running.journal(context, &cluster, &scope.stack, &wish, up, Vec::new());
    let options = Options {
        run: running.run.clone(),
        started: running.started,
        delete_data,
        lock: Some(running.lock.lost()),
        notices: running.lock.overruled.iter().cloned().collect(),
    };
    let view = RunView::down(context, &words);
    let work = |events, stop| async move {
        // Since it was shown, somebody who had the lock may have gone on.
        let found = survey(&cluster, scope).await?;
        Ok(crate::rebuild::down::run(cluster, scope, found, options, events, stop).await)
    };
    let again = context.command(&words);
    running.follow(view, journal, work, CliError::from, format!("go on:   {again}")).await
}
