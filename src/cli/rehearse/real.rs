//! `rehearse ENV --context NAME`: for real, in an instance of its own, measured, and taken away again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{RehearseArgs, follow, paused};
use crate::cli::connection::block_on;
use crate::cli::data::{Draft, Reach, decided, show};
use crate::cli::identities::open_secrets;
use crate::cli::lock::Wish;
use crate::cli::rehearsals;
use crate::cli::render::render_with;
use crate::cli::report_file::ReportFile;
use crate::cli::run_view::RunView;
use crate::cli::running::{Running, Signals, run_id};
use crate::cli::scopes::Planned;
use crate::cli::settings::Context;
use crate::cli::{CliError, Exit};
use crate::cluster::Cluster;
use crate::cluster::volumes;
use crate::data::{Answers, Choice, Survey};
use crate::kit::{Environment, Kit, Overrides};
use crate::plan::Plan;
use crate::rebuild::Options;
use crate::rebuild::event::{EventKind, Outcome, VERSION};
use crate::rebuild::prune::exit_for;
use crate::rebuild::throwaway::{Removed, has_records, take_away, taken};
use crate::rehearsal::filling::{Rates, fillings};
use crate::rehearsal::needs::needs;
use crate::rehearsal::record::{self, Record};
use crate::rehearsal::{Faults, Model, Simulation, World};
use crate::report::duration::human;
use crate::report::text::{count, list};

/// How many objects that are in the way are named.
const SHOWN: usize = 8;

/// Rehearses in a real cluster: only what is not there is made, and all of that is taken away again, however the run ended.
///
/// # Errors
/// Exit 2 for a wish that only the simulation can grant, exit 4 where something is in the way or backups are missing, those of a
/// run, and exit 7 with the command to go on with when something does not go away.
pub fn run(context: &mut Context, args: &RehearseArgs) -> Result<Exit, CliError> {
    refuse_what_ifs(args)?;
    let report = args.report.open()?;
    if let Some(instance) = &context.common.instance {
        let message = format!("--instance {instance}: a rehearsal has an instance of its own");
        return Err(CliError::new(Exit::Usage, message));
    }
    let kit = context.kit()?;
    let instance = format!("rehearsal-{}", &run_id()[..6]);
    let overrides = Overrides { instance: Some(instance.clone()), rehearsal: true, ..context.overrides()? };
    let plain = kit.environment(&args.environment, &context.overrides()?)?;
    let environment = kit.environment(&args.environment, &overrides)?;
    // Nothing of it lasts: no name is to be typed, and what has no backup may begin empty.
    let environment = Environment { protected: false, data_allow: None, ..environment };
    // What it restores holds the passwords of the environment, not of an instance.
    let vault = open_secrets(context, &kit, &Environment { instance: None, ..environment.clone() })?;
    let rendered = render_with(context, &kit, &environment, &vault)?;
    let plan = Plan::of(&rendered)?;
    let promote = plan.data_sets.iter().any(|set| set.follow().is_some());
    let answers = Answers { promote, ..args.data.answers(&plan)? };
    let simulated = simulated(&plan);
    block_on(async {
        let cluster = context.reach(&environment).await?;
        let known = Planned { environment, rendered, plan }.in_cluster(&cluster.kinds, &kit, &vault)?;
        let Planned { environment, rendered, plan } = known;
        context.check_rights_to_rehearse(&cluster, &plan).await?;
        refuse_what_is_there(&cluster, &plan).await?;
        let stranger = !has_records(&cluster).await?;
        let before = volumes::names(&cluster).await?;
        let words = args.words();
        let draft = Draft { kit: &kit, environment: &environment, secrets: &vault, rendered, words: words.clone() };
        let reach = Reach { cluster: &cluster, from: None, until: None, bound: true, simulated: false };
        let down = vec!["down".to_owned(), args.environment.clone(), "--instance".to_owned(), instance];
        let undecided = plan.clone();
        let mut measured = None;
        let ended: Result<Exit, CliError> = async {
            let plan = decided(context, &answers, draft, plan, &reach).await?;
            refuse_what_survives(&plan)?;
            refuse_what_is_free(&cluster, &plan).await?;
            show(context, &plan.data);
            let began = Instant::now();
            let exit = rebuild(context, &cluster, &plan, &words, report).await?;
            measured = Some((plan, began.elapsed()));
            Ok(exit)
        }
        .await;
        let removed = clean(context, &cluster, &undecided, (&before, stranger), &down).await;
        let (exit, removed) = match (ended, removed) {
            (Ok(exit), Ok(removed)) => (exit, removed),
            // What is left behind is told in any case, with the command that takes it away.
            (Ok(_), Err(left)) => return Err(left),
            (Err(error), Ok(_)) => return Err(error),
            (Err(error), Err(left)) => {
                let error = error.detail(left.message);
                return Err(left.hints.into_iter().fold(error, CliError::hint));
            }
        };
        if let Some((plan, took)) = measured {
            tell(context, &plan, exit, took, simulated, removed);
            record(context, &cluster, (&kit, &plain), exit, took);
        }
        Ok(exit)
    })
}

/// What only a simulated cluster can be made to do.
fn refuse_what_ifs(args: &RehearseArgs) -> Result<(), CliError> {
    let wishes = [
        ("--survivors", args.survivors.is_some()),
        ("--lose-volume", !args.lose_volume.is_empty()),
        ("--fail", !args.fail.is_empty()),
        ("--slow", !args.slow.is_empty()),
        ("--api-errors", args.api_errors.is_some()),
        ("--nodes", args.nodes.is_some()),
        ("--measured", !args.measured.is_empty()),
        ("--serve", args.serve.is_some()),
    ];
    let asked: Vec<&str> = wishes.iter().filter(|(_, asked)| *asked).map(|(flag, _)| *flag).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let message = format!("{} and --context: only a simulated cluster can be made to do that", list(&asked));
    Err(CliError::new(Exit::Usage, message).hint("leave out --context to rehearse in a simulated cluster"))
}

/// What is there already would have to be shared, and could not be taken away.
async fn refuse_what_is_there(cluster: &Cluster, plan: &Plan) -> Result<(), CliError> {
    let taken = taken(cluster, plan).await?;
    if taken.is_empty() {
        return Ok(());
    }
    let objects = count(taken.len(), "object");
    let is = if taken.len() == 1 { "is" } else { "are" };
    let message =
        format!("refused: {objects} of the rehearsal {is} in {} already; nothing was written", cluster.context);
    Err(CliError::new(Exit::Protected, message)
        .details_of(taken.iter().map(ToString::to_string), SHOWN)
        .hint("give what lies outside of the namespace a name of the instance's own, as in {{ name }}-{{ instance }}"))
}

/// What a rehearsal binds it would take away with itself.
fn refuse_what_survives(plan: &Plan) -> Result<(), CliError> {
    let Some((claim, volume)) = plan.data.adopted().next() else { return Ok(()) };
    let message =
        format!("refused: {}/{} would get pv/{volume}, and a rehearsal adopts no volume", claim.namespace, claim.name);
    Err(CliError::new(Exit::Protected, message)
        .detail("what it binds it takes away again, with the data on it")
        .hint("leave out --data NAME=adopt:…, or rehearse with --survivors in a simulated cluster"))
}

/// A volume that Kubernetes binds to a claim of the rehearsal could not be given back as it was.
async fn refuse_what_is_free(cluster: &Cluster, plan: &Plan) -> Result<(), CliError> {
    let survey = Survey::read(cluster, &plan.claims).await?;
    let taken = plan.claims.iter().find_map(|claim| {
        let own = claim.body.pointer("/spec/volumeName").is_some();
        survey.volumes.iter().find(|volume| !own && volume.is_free_for(claim)).map(|volume| (claim, volume))
    });
    let Some((claim, volume)) = taken else { return Ok(()) };
    let message = format!(
        "refused: Kubernetes could bind {} to pv/{}, which was there before; nothing was written",
        claim.place(),
        volume.name
    );
    Err(CliError::new(Exit::Protected, message)
        .detail(format!("pv/{}: {}", volume.name, volume.facts(survey.now)))
        .hint("rehearse with a StorageClass of its own (rehearsal.values), or in a cluster without free volumes"))
}

/// Takes the lock and rebuilds, as `up` does; the cluster remembers no binding.
async fn rebuild(
    context: &mut Context,
    cluster: &Cluster,
    plan: &Plan,
    words: &[String],
    report: Option<ReportFile>,
) -> Result<Exit, CliError> {
    let wish = Wish {
        environment: &plan.environment,
        breaking: false,
        confirm: None,
        words,
        untouched: "nothing was written",
    };
    let running = Running::begin(context, cluster, &wish).await?;
    let look = context.command(words);
    let journal = running.journal(context, cluster, &plan.stack, &wish, look, Vec::new());
    let options = Options {
        run: running.run.clone(),
        started: running.started,
        redactor: context.ui.redactor_mut().clone(),
        lock: Some(running.lock.lost()),
        ..Options::default()
    };
    let view = RunView::new(context, words, Vec::new()).reporting(report);
    let work = |events, stop| crate::rebuild::run(cluster.clone(), plan, options, events, stop);
    running.follow(view, journal, work, CliError::from, "it is taken away now".to_owned()).await
}

/// Takes away what was made. Ctrl-C ends that, too.
async fn clean(
    context: &mut Context,
    cluster: &Cluster,
    plan: &Plan,
    (before, stranger): (&BTreeSet<String>, bool),
    down: &[String],
) -> Result<Removed, CliError> {
    context.ui.say("taking the rehearsal away again");
    let ui = std::cell::RefCell::new((context.ui.clone(), String::new()));
    let quiet = context.json();
    let note = |text: &str| {
        let mut shown = ui.borrow_mut();
        if !quiet && shown.1 != text {
            text.clone_into(&mut shown.1);
            shown.0.say(&format!("  {text}"));
        }
    };
    let mut signals = Signals::listen()?;
    let ended = tokio::select! {
        ended = take_away(cluster, plan, before, stranger, note) => {
            ended.map_err(|error| (Exit::from_code(exit_for(&error)), error.to_string()))
        }
        () = signals.next() => Err((Exit::Interrupted, "interrupted".to_owned())),
    };
    let sets = plan.data_sets.iter().flat_map(|set| ["--delete-data".to_owned(), set.name.clone()]);
    ended.map_err(|(code, error)| {
        CliError::new(code, format!("the rehearsal {} is not taken away whole: {error}", plan.environment))
            .hint(format!("take it down:   {}", context.command(&down.iter().cloned().chain(sets).collect::<Vec<_>>())))
    })
}

/// The figures at the end.
fn tell(context: &mut Context, plan: &Plan, exit: Exit, took: Duration, simulated: Option<f64>, removed: Removed) {
    let empty: Vec<&str> = plan
        .data
        .sets
        .iter()
        .filter(|set| set.claims.iter().any(|claim| claim.choice == Choice::Empty))
        .map(|set| set.data_set.as_str())
        .collect();
    if context.json() {
        context.ui.out_json(json!({
            "version": VERSION,
            "event": "rehearsed-for-real",
            "environment": plan.environment,
            "exit": exit as u8,
            "seconds": took.as_secs_f64(),
            "simulated_seconds": simulated,
            "began_empty": empty,
            "objects_removed": removed.objects,
            "volumes_removed": removed.volumes,
        }));
        return;
    }
    let (objects, volumes) = (count(removed.objects, "object"), count(removed.volumes, "volume"));
    context.ui.say(&format!("taken away again: {objects}, {volumes}"));
    if exit == Exit::Done {
        let simulated = simulated.map(|seconds| format!(" (simulated: {})", human(seconds))).unwrap_or_default();
        context.ui.say(&format!("measured recovery time: {}{simulated}", human(took.as_secs_f64())));
    }
    if !empty.is_empty() {
        context.ui.say(&format!("began empty, so their restore was not rehearsed: {}", list(&empty)));
    }
    if plan.data_sets.iter().any(|set| set.lookup().is_some()) {
        context.ui.say("what its databases archived stays in the object store, below the instance's own prefix");
    }
}

/// Keeps how it went. Where somebody stopped it, it says nothing.
fn record(context: &mut Context, cluster: &Cluster, of: (&Kit, &Environment), exit: Exit, took: Duration) {
    let outcome = match exit {
        Exit::Done => Outcome::Done,
        Exit::Unhealthy => Outcome::Unhealthy,
        _ => return,
    };
    let (kit, environment) = of;
    let record = Record {
        rehearsal: record::VERSION,
        time: jiff::Timestamp::now(),
        stack: environment.stack.clone(),
        environment: environment.name.clone(),
        kit: kit.fingerprint(environment),
        outcome,
        seconds: took.as_secs_f64(),
        context: Some(cluster.context.clone()),
        what_if: false,
    };
    rehearsals::keep(context, &record);
}

/// How long the simulation takes for the same, in seconds.
fn simulated(plan: &Plan) -> Option<f64> {
    paused().ok()?.block_on(async {
        let started = jiff::Timestamp::now();
        let fillings = fillings(&plan.data, &plan.claims, Rates::default(), &BTreeMap::new());
        let model = Model { fillings, ..Model::default() };
        let mut world = World::new(started, needs(plan).simulated_nodes(), model, true);
        world.bring(plan);
        let simulation = Simulation::new(world, Faults::none());
        let cluster = simulation.connect().await.ok()?;
        let options = Options { started, stand_in: Some(simulation.answers()), ..Options::default() };
        let mut seconds = None;
        let code = follow(&cluster, plan, options, |event| {
            if let EventKind::RunFinished { seconds: took, .. } = event.kind {
                seconds = Some(took);
            }
        });
        let code = code.await.ok()?;
        seconds.filter(|_| code == 0)
    })
}
